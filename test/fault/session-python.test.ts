import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { CommandState, JobState, LogCompleteness } from "../../src/gen/belay/v1/job_pb.ts";
import { readLog, waitForJob } from "../../src/testing/index.ts";
import type { TestTracker } from "../helpers/tracker.ts";
import { testDirectory, testTracker } from "../helpers/tracker.ts";

// Debian's own Python: another one does not find python3-grpcio.
const PYTHON = "/usr/bin/python3";
const ROOT = path.resolve(import.meta.dirname, "../..");
const BUF = path.join(ROOT, "node_modules/.bin/buf");
const AGENT = path.resolve(import.meta.dirname, "python/agent.py");

function missing(): string | undefined {
  if (spawnSync(PYTHON, ["-c", "import grpc, google.protobuf"]).status !== 0) return "no python3-grpcio here";
  return undefined;
}
const obstacle = missing();
const title = `An agent in Python, written from the contract alone${obstacle === undefined ? "" : ` (skipped: ${obstacle})`}`;

describe.skipIf(obstacle !== undefined)(title, () => {
  async function start(
    tracker: TestTracker,
    script: string,
  ): Promise<{ ended: Promise<unknown[]>; output: () => string }> {
    // The compiled contract instead of our generated code, as any language can read it.
    const contract = path.join(await testDirectory(), "contract.binpb");
    execFileSync(BUF, ["build", "-o", contract], { cwd: ROOT });
    await tracker.jobs.createJob({ jobId: "j1", spec: { command: ["sh", "-c", script] } });
    const child = spawn(PYTHON, [AGENT, contract, new URL(tracker.address).host, "j1"], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    onTestFinished(() => void child.kill("SIGKILL"));
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (data: Buffer) => (output += data.toString()));
    return { ended: once(child, "close"), output: () => output };
  }

  test("is admitted, delivers its log over two streams, and gets its receipt", async () => {
    const tracker = await testTracker();
    const { ended, output } = await start(tracker, "for i in 1 2 3 4 5 6; do echo line $i; sleep 0.1; done");
    expect((await ended)[0], output()).toBe(0);
    expect(output()).toBe("receipt, complete, after 2 streams\n");
    expect(await readLog(tracker.jobs, "j1", { follow: false })).toBe(
      "line 1\nline 2\nline 3\nline 4\nline 5\nline 6\n",
    );
    const { job } = await tracker.jobs.getJob({ jobId: "j1" });
    expect(job).toMatchObject({
      state: JobState.SUCCEEDED,
      attempts: [{ logCompleteness: LogCompleteness.COMPLETE, agent: { version: "python" } }],
    });
  });

  test("obeys a cancel; the tracker rejects orders for it that it does not support", async () => {
    const tracker = await testTracker();
    const { jobs } = tracker;
    const { ended, output } = await start(tracker, "echo ready; exec sleep 1000");
    await waitForJob(
      jobs,
      "j1",
      ({ state, attempts }) => state === JobState.RUNNING && attempts[0]?.connected === true,
    );
    expect((await jobs.pauseJob({ jobId: "j1" })).command?.state).toBe(CommandState.REJECTED);
    await jobs.cancelJob({ jobId: "j1" });
    expect((await ended)[0], output()).toBe(0);
    expect(output()).toMatch(/^receipt, complete, after/);
    const { job } = await jobs.getJob({ jobId: "j1" });
    expect(job?.state).toBe(JobState.CANCELED);
    expect(job?.commands.at(-1)?.state).toBe(CommandState.COMPLETED);
  });
});
