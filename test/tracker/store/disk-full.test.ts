import { execFileSync, spawnSync } from "node:child_process";
import { rmSync, statfsSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { JobState, LogCompleteness } from "../../../src/gen/belay/v1/job_pb.ts";
import { checkDirectory } from "../../../src/tracker/store/check/check.ts";
import { ScriptedAgent } from "../../helpers/scripted-agent.ts";
import { readLog, someSpec, testDirectory, testTracker } from "../../helpers/tracker.ts";

const RESOURCE_EXHAUSTED = 8;
/** As connect has it. */
const EXHAUSTED = { code: RESOURCE_EXHAUSTED };

/** A file system of 4 MiB of its own. Undefined: this user or machine cannot mount one. */
async function smallDisk(): Promise<string | undefined> {
  const directory = await testDirectory();
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=4m", "tmpfs", directory]);
  if (mounted.status !== 0) return undefined;
  onTestFinished(() => void execFileSync("umount", ["-l", directory]));
  return directory;
}

/** Leaves not one block free. @returns frees them again */
function fill(directory: string): () => void {
  const path = join(directory, "ballast");
  writeFileSync(path, "");
  for (let size = 1024 * 1024; size >= 1; size = Math.floor(size / 2)) {
    try {
      for (;;) writeFileSync(path, Buffer.alloc(size, 1), { flag: "a" });
    } catch {
      // No room for so much: try less.
    }
  }
  expect(statfsSync(directory).bfree).toBe(0);
  return () => {
    truncateSync(path, 0);
    rmSync(path);
  };
}

describe("On a full disk", () => {
  test("nothing is acked that is not stored, reads go on, and all goes on when there is room again", async (context) => {
    const directory = await smallDisk();
    if (directory === undefined) return context.skip("a tmpfs can be mounted by root only");
    const dataDirectory = join(directory, "data");
    const { address, jobs, tracker } = await testTracker({ dataDirectory, heartbeatInterval: 1000, lease: 10_000 });
    const agent = new ScriptedAgent(address, "j");
    await agent.hello({ spec: someSpec });
    agent.state(JobState.RUNNING);
    agent.print("before\n");
    await agent.acked(1n, 1n);
    const free = fill(directory);

    // A log that is too long for what is left.
    for (let i = 0; i < 8; i++) agent.print(Buffer.alloc(64 * 1024, 0x61 + i));
    const ended = await agent.ended;
    expect(ended.code).toBe(RESOURCE_EXHAUSTED);
    expect(ended.details).toMatch(/its disk is full|cannot store/);
    // A change of the database.
    const pad = Array.from({ length: 40 }, (_, i) => `${"x".repeat(4000)}${i}`);
    await expect(jobs.createJob({ jobId: "big", spec: { command: pad } })).rejects.toMatchObject(EXHAUSTED);

    // Reads go on.
    expect((await jobs.getJob({ jobId: "j" })).job?.state).toBe(JobState.RUNNING);
    expect((await jobs.listJobs({})).jobs.map(({ jobId }) => jobId)).toEqual(["j"]);
    expect(await readLog(jobs, { jobId: "j" })).toMatch(/^before\na*b*c*d*e*f*g*h*$/);

    // The agent tries again, and is told where to go on: at what is stored.
    free();
    const back = new ScriptedAgent(address, "j", { sessionId: agent.sessionId });
    const committed = Number((await back.hello()).committed?.logs);
    const acks = agent.received.flatMap((answer) => (answer.case === "ack" ? [Number(answer.value.logs)] : []));
    expect(committed).toBeGreaterThanOrEqual(Math.max(0, ...acks));
    const pieces = [
      "before\n",
      ...Array.from({ length: 8 }, (_, i) => String.fromCharCode(0x61 + i).repeat(64 * 1024)),
    ];
    back.countDelivered(pieces.slice(0, committed));
    for (const piece of pieces.slice(committed)) back.print(piece);
    back.result();
    expect((await back.next("receipt")).value).toMatchObject({ logCompleteness: LogCompleteness.COMPLETE });
    expect(await readLog(jobs, { jobId: "j" })).toBe(pieces.join(""));
    await jobs.createJob({ jobId: "big", spec: { command: pad } });
    await tracker.close();
    expect((await checkDirectory(dataDirectory)).findings).toEqual([]);
  });

  test("a job that nobody comes back for is still taken for lost, and no other job is harmed", async (context) => {
    const directory = await smallDisk();
    if (directory === undefined) return context.skip("a tmpfs can be mounted by root only");
    const dataDirectory = join(directory, "data");
    const { address, jobs } = await testTracker({ dataDirectory, heartbeatInterval: 100, lease: 500 });
    const agent = new ScriptedAgent(address, "j");
    await agent.hello({ spec: someSpec });
    agent.state(JobState.RUNNING);
    await agent.acked(1n, 0n);
    const free = fill(directory);
    // Fills what room the database has left, then fails.
    for (let i = 0; i < 2000; i++) {
      agent.event({ case: "stepStarted", value: { step: 1, argv: ["x".repeat(1000)] } });
    }
    expect((await agent.ended).code).toBe(RESOURCE_EXHAUSTED);
    free();
    await expect
      .poll(async () => (await jobs.getJob({ jobId: "j" })).job?.state, { timeout: 10_000 })
      .toBe(JobState.LOST);
    const other = new ScriptedAgent(address, "k");
    expect((await other.hello({ spec: someSpec })).attempt).toBe(1);
  });

  test("a tracker that starts there says so", async (context) => {
    const directory = await smallDisk();
    if (directory === undefined) return context.skip("a tmpfs can be mounted by root only");
    fill(directory);
    await expect(testTracker({ dataDirectory: join(directory, "data") })).rejects.toMatchObject({
      code: "STORE",
      message: expect.stringMatching(/no space|full/i) as unknown,
    });
  });
});
