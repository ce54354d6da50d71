import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { JobState, LogCompleteness } from "../../../src/gen/belay/v1/job_pb.ts";
import { checkDirectory } from "../../../src/tracker/store/check/check.ts";
import { ScriptedAgent, readLog } from "../../../src/testing/index.ts";
import { fill, NO_MOUNT, smallDisk } from "../../helpers/small-disk.ts";
import { someSpec, testTracker } from "../../helpers/tracker.ts";

const RESOURCE_EXHAUSTED = 8;
const ABORTED = 10;
/** As connect has it. */
const EXHAUSTED = { code: RESOURCE_EXHAUSTED };

describe("On a full disk", () => {
  test("nothing is acked that is not stored, reads go on, and all goes on when there is room again", async (context) => {
    const directory = await smallDisk(4);
    if (directory === undefined) return context.skip(NO_MOUNT);
    const dataDirectory = join(directory, "data");
    const { address, jobs, tracker } = await testTracker({ dataDirectory, heartbeatInterval: 10_000 });
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    agent.state("RUNNING");
    agent.print("before\n");
    await agent.acked(1n, 1n);
    const free = fill(directory);

    // A log that is too long for what is left.
    for (let i = 0; i < 8; i++) agent.print(Buffer.alloc(64 * 1024, 0x61 + i));
    await expect.poll(async () => (await fetch(`${address}/readyz`)).text()).toMatch(/the disk is full/);
    // A change of the database.
    const pad = Array.from({ length: 40 }, (_, i) => `${"x".repeat(4000)}${i}`);
    await expect(jobs.createJob({ jobId: "big", spec: { command: pad } })).rejects.toMatchObject(EXHAUSTED);

    // Reads go on.
    expect((await jobs.getJob({ jobId: "j" })).job?.state).toBe(JobState.RUNNING);
    expect((await jobs.listJobs({})).jobs.map(({ jobId }) => jobId)).toEqual(["j"]);
    expect(await readLog(jobs, "j", { follow: false })).toMatch(/^before\na*b*c*d*e*f*g*h*$/);

    // The stream has stayed, for orders. Now the agent is asked to try again, and where to go on: at what is stored.
    free();
    expect(await agent.ended).toMatchObject({
      code: ABORTED,
      details: expect.stringMatching(/has room again/) as unknown,
    });
    const back = ScriptedAgent.connect({ url: address, jobId: "j", sessionId: agent.sessionId });
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
    expect(await back.next("receipt")).toMatchObject({ logCompleteness: LogCompleteness.COMPLETE });
    expect(await readLog(jobs, "j", { follow: false })).toBe(pieces.join(""));
    await jobs.createJob({ jobId: "big", spec: { command: pad } });
    await tracker.close();
    expect((await checkDirectory(dataDirectory)).findings).toEqual([]);
  });

  test("a job whose agent does not return still becomes LOST, and no other job is harmed", async (context) => {
    const directory = await smallDisk(4);
    if (directory === undefined) return context.skip(NO_MOUNT);
    const dataDirectory = join(directory, "data");
    const { address, jobs } = await testTracker({ dataDirectory, heartbeatInterval: 100, lease: 500 });
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    agent.state("RUNNING");
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
    const other = ScriptedAgent.connect({ url: address, jobId: "k" });
    expect((await other.hello({ spec: someSpec })).attempt).toBe(1);
  });

  test("a tracker that starts there reports it", async (context) => {
    const directory = await smallDisk(4);
    if (directory === undefined) return context.skip(NO_MOUNT);
    fill(directory);
    await expect(testTracker({ dataDirectory: join(directory, "data") })).rejects.toMatchObject({
      code: "STORE",
      message: expect.stringMatching(/no space|full/i) as unknown,
    });
  });
});
