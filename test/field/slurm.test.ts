import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { EndReason, FailureClass, type Job, JobState, Outcome } from "../../src/gen/belay/v1/job_pb.ts";
import { readLog, waitForJob } from "../../src/testing/index.ts";
import { MAIN, NODE_PATH } from "../helpers/cli.ts";
import { noSlurm, SlurmCluster } from "../helpers/slurm.ts";
import { testDirectory, type TestTracker, testTracker } from "../helpers/tracker.ts";

/** Counts, saves each number, and ends when a file says so. After SIGTERM it exits between two numbers, with a code of its own. */
const COUNTER = `
n=$(cat saved 2>/dev/null || echo 0)
trap 'stopped=1' TERM
trap 'echo "warned at $n"; touch finish' USR1
echo "attempt $BELAY_ATTEMPT begins after $n"
while [ ! -e finish ] && [ -z "$stopped" ]; do n=$((n + 1)); echo $n > saved; echo "count $n"; sleep 0.02; done
if [ -n "$stopped" ]; then echo "stopped at $n"; exit 3; fi
echo "finished at $n"
`;

/** A batch script that runs the counter under an agent, in a directory of the job's own. */
const batch = (tracker: string, directory: string, ...flags: readonly string[]): string => `#!/bin/sh
export PATH='${NODE_PATH}'
exec ${MAIN} run --tracker ${tracker} --job slurm-$SLURM_JOB_ID ${flags.join(" ")} --cwd ${directory} -- sh counter.sh
`;

describe.skipIf(noSlurm !== undefined)(`a job under Slurm${noSlurm === undefined ? "" : `: ${noSlurm}`}`, () => {
  let slurm: SlurmCluster;
  beforeAll(async () => {
    slurm = await SlurmCluster.start();
  }, 60_000);
  afterAll(() => slurm.close());

  it("that is requeued twice is one job with three attempts, each with its log and class, and succeeds", async () => {
    const { tracker, directory } = await ready();
    const script = batch(tracker.address, directory, "--max-attempts", "5", "--takeover");
    const id = await slurm.submit(script, "--requeue");
    for (const attempt of [1, 2]) {
      await counts(directory, tracker, id, attempt);
      await slurm.requeue(id);
      await reaches(tracker, id, (job) => job.attempts.length > attempt);
    }
    await counts(directory, tracker, id, 3);
    await writeFile(path.join(directory, "finish"), "");
    await slurm.becomes(id, "COMPLETED");
    const job = await reaches(tracker, id, ({ state }) => state === JobState.SUCCEEDED);
    expect(job.attempts.map(({ result }) => [result?.outcome, result?.reason, result?.failureClass])).toEqual([
      [Outcome.CANCELED, EndReason.AGENT_STOPPED, FailureClass.PREEMPTED],
      [Outcome.CANCELED, EndReason.AGENT_STOPPED, FailureClass.PREEMPTED],
      [Outcome.SUCCEEDED, EndReason.EXITED, FailureClass.UNSPECIFIED],
    ]);
    // Slurm signals the job's own processes at the same moment: its TERM handler exits with 3, which stands beside.
    expect(job.attempts.slice(0, 2).map(({ result }) => result?.exitCode)).toEqual([3, 3]);
    await expectWholeCount(tracker, id, 3);
  }, 90_000);

  it("gets Slurm's own warning before its time limit, and ends by itself", async () => {
    const { tracker, directory } = await ready();
    // Slurm looks at time limits each 30 s, and gives them in minutes. A warning that is due while the job is being
    // started is lost: this one is due 10 s after its start.
    const script = batch(tracker.address, directory);
    const id = await slurm.submit(script, "--time=1", "--signal=B:USR1@50");
    const job = await reaches(tracker, id, ({ state }) => state === JobState.SUCCEEDED, 60_000);
    expect(await logOf(tracker, id, 1)).toMatch(/\nwarned at \d+\n(count \d+\n)?finished at \d+\n$/);
    expect(job.attempts).toHaveLength(1);
    await slurm.becomes(id, "COMPLETED");
  }, 90_000);

  it("that is canceled by scancel is ended by its agent, which Slurm has stopped", async () => {
    const { tracker, directory } = await ready();
    const id = await slurm.submit(batch(tracker.address, directory));
    await counts(directory, tracker, id, 1);
    await slurm.call("scancel", ["--full", id]);
    const job = await reaches(tracker, id, ({ state }) => state === JobState.CANCELED);
    expect(job.result).toMatchObject({
      reason: EndReason.AGENT_STOPPED,
      failureClass: FailureClass.PREEMPTED,
      exitCode: 3,
    });
    await slurm.becomes(id, "CANCELLED");
  }, 60_000);
});

async function ready(): Promise<{ tracker: TestTracker; directory: string }> {
  const directory = await testDirectory();
  await writeFile(path.join(directory, "counter.sh"), COUNTER);
  return { tracker: await testTracker(), directory };
}

/** Resolves when an attempt has counted on. */
async function counts(directory: string, tracker: TestTracker, id: string, attempt: number): Promise<void> {
  await reaches(tracker, id, (job) => job.attempts.length === attempt && job.state === JobState.RUNNING);
  const saved = (): Promise<number> => readFile(path.join(directory, "saved"), "utf8").then(Number, () => 0);
  const before = await saved();
  await vi.waitFor(async () => expect(await saved()).toBeGreaterThan(before + 3), { timeout: 20_000, interval: 20 });
}

async function reaches({ jobs }: TestTracker, id: string, is: (job: Job) => boolean, timeout = 30_000): Promise<Job> {
  const jobId = `slurm-${id}`;
  // Until its agent has come, the tracker does not know the job.
  await vi.waitFor(() => jobs.getJob({ jobId }), { timeout: 30_000, interval: 50 });
  return await waitForJob(jobs, jobId, is, { timeout });
}

function logOf({ jobs }: TestTracker, id: string, attempt: number): Promise<string> {
  return readLog(jobs, `slurm-${id}`, { attempt, stream: "stdout" });
}

/** Every number that was counted is in the logs of the attempts, once and in order. */
async function expectWholeCount(tracker: TestTracker, id: string, attempts: number): Promise<void> {
  const logs = await Promise.all(Array.from({ length: attempts }, (_, i) => logOf(tracker, id, i + 1)));
  for (const [i, log] of logs.entries()) expect(log).toContain(`attempt ${i + 1} begins after`);
  const counted = [...logs.join("").matchAll(/^count (\d+)$/gm)].map(([, number]) => Number(number));
  expect(counted).toEqual(counted.map((_, i) => i + 1));
  expect(logs.at(-1)).toContain(`finished at ${counted.length}`);
}
