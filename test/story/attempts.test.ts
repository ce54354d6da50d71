import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { EndReason, FailureClass, type Job, JobState, Outcome } from "../../src/gen/belay/v1/job_pb.ts";
import { type Cli, belay, belayEnds, type Finished, tempDirectory, TrackerProcess } from "../helpers/cli.ts";
import { ScriptedTracker } from "../helpers/scripted-tracker.ts";
import { jobClient, testTracker } from "../helpers/tracker.ts";

const { JOB, PREEMPTED, ORDERED, INFRASTRUCTURE, UNSPECIFIED } = FailureClass;

/** Goes on for ever in attempt 1, and succeeds in the next one. */
const ONCE_STUCK = 'echo "attempt $BELAY_ATTEMPT"; [ "$BELAY_ATTEMPT" != 1 ] || exec sleep 1000';

/** A tracker, and what the command line does with it. */
interface Place {
  readonly run: (...args: string[]) => Cli;
  readonly runEnds: (...args: string[]) => Promise<Finished>;
  readonly job: (jobId: string) => Promise<Job>;
  readonly log: (jobId: string, attempt: number) => Promise<string>;
}

function at(url: string): Place {
  const jobs = jobClient(url);
  return {
    run: (...args) => belay(["run", "--tracker", url, ...args]),
    runEnds: (...args) => belayEnds(["run", "--tracker", url, ...args]),
    job: async (jobId) => (await jobs.getJob({ jobId })).job as Job,
    log: async (jobId, attempt) => {
      const flags = ["--tracker", url, "--stream", "stdout", "--attempt", String(attempt), jobId];
      return (await belayEnds(["logs", ...flags])).stdout;
    },
  };
}

const ends = ({ attempts }: Job): unknown[] => attempts.map(({ result }) => [result?.reason, result?.failureClass]);

describe("belay run with a retry policy", () => {
  it("runs a flaky command again until it succeeds: one job, three attempts, each with its log and class", async () => {
    const { runEnds, job, log } = at((await testTracker()).address);
    const cwd = await tempDirectory();
    const script = 'echo x >> tries; echo "attempt $BELAY_ATTEMPT"; [ "$(wc -l < tries)" = 3 ]';
    const policy = ["--max-attempts", "3", "--retry-on", "job"];
    const [flaky, last, unnamed] = await Promise.all([
      runEnds("--job", "flaky", "--cwd", cwd, ...policy, "--", "sh", "-c", script),
      runEnds("--job", "last", "--max-attempts", "2", "--retry-on", "job", "--", "sh", "-c", "exit 7"),
      runEnds("--job", "unnamed", "--max-attempts", "2", "--", "sh", "-c", "exit 7"),
    ]);
    expect(flaky.code, flaky.stderr).toBe(0);
    expect(flaky.stdout).toBe("attempt 1\nattempt 2\nattempt 3\n");
    expect(flaky.stderr).toMatch(
      /^belay: Attempt 1 of 3 failed \(exit code 1 after \S+\); the next one starts now\nbelay: Attempt 2 of 3 failed .*\n$/,
    );
    const ended = await job("flaky");
    expect(ended.state).toBe(JobState.SUCCEEDED);
    expect(ends(ended)).toEqual([
      [EndReason.EXITED, JOB],
      [EndReason.EXITED, JOB],
      [EndReason.EXITED, UNSPECIFIED],
    ]);
    expect(new Set(ended.attempts.map(({ sessionId }) => sessionId)).size).toBe(3);
    const logs = await Promise.all([1, 2, 3].map((attempt) => log("flaky", attempt)));
    expect(logs).toEqual(["attempt 1\n", "attempt 2\n", "attempt 3\n"]);
    // The code of the last attempt when none is left, and of a failure that the policy does not name.
    expect([last.code, unnamed.code]).toEqual([7, 7]);
    expect([await job("last"), await job("unnamed")].map(({ attempts }) => attempts.length)).toEqual([2, 1]);
  });

  it("waits for the delay of the policy, as does another agent of the job within its --connect-timeout", async () => {
    const { run, runEnds } = at((await testTracker()).address);
    const policy = ["--max-attempts", "3", "--retry-on", "job", "--retry-delay", "700ms"];
    const script = 'date +%s%3N; [ "$BELAY_ATTEMPT" = 3 ]';
    const waiting = run("--job", "j1", ...policy, "--", "sh", "-c", script);
    const hour = run("--job", "j2", ...policy, "--retry-delay", "1h", "--", "sh", "-c", "exit 1");
    await hour.says(/Attempt 1 of 3 failed \(exit code 1 after \S+\); the next one starts in 1h/);
    const early = await runEnds("--job", "j2", "--connect-timeout", "10s");
    expect(early).toMatchObject({
      code: 75,
      stderr: expect.stringMatching(
        /^belay: Nothing was run: Attempt 2 of job "j2" may start in \S+.*, beyond the connect timeout of 10.0s\n$/,
      ),
    });
    expect(await waiting.ended).toBe(0);
    const [first = 0, second = 0, third = 0] = waiting.stdout.split("\n").map(Number);
    expect(second - first).toBeGreaterThanOrEqual(700);
    expect(third - second).toBeGreaterThanOrEqual(1400);
  });

  it("ends when its job is canceled, or when it is stopped, while the job waits: SIGTERM leaves the job, SIGINT ends it", async () => {
    const { address, jobs } = await testTracker();
    const { run, job } = at(address);
    const policy = ["--max-attempts", "3", "--retry-on", "job", "--retry-delay", "1h"];
    const start = (jobId: string): Cli => run("--job", jobId, ...policy, "--", "sh", "-c", "exit 3");
    const [canceled, left, ended] = [start("canceled"), start("left"), start("ended")];
    await Promise.all([canceled, left, ended].map((cli) => cli.says(/starts in 1h/)));
    const begin = performance.now();
    await jobs.cancelJob({ jobId: "canceled" });
    // The warning of a batch system, which ends a program that does not listen for it.
    left.child.kill("SIGUSR1");
    expect(await Promise.all([left.kill("SIGTERM"), ended.kill("SIGINT")])).toEqual([75, 143]);
    expect(await job("left")).toMatchObject({ state: JobState.PENDING, attempts: [{ attempt: 1 }] });
    const interrupted = await job("ended");
    expect(interrupted.state).toBe(JobState.CANCELED);
    expect(ends(interrupted)).toEqual([
      [EndReason.EXITED, JOB],
      [EndReason.AGENT_STOPPED, ORDERED],
    ]);
    expect(interrupted.attempts[1]?.result?.step).toBe(0);
    expect(await canceled.ended).toBe(143);
    expect(performance.now() - begin).toBeLessThan(15_000);
    expect(canceled.stderr).toMatch(/\nbelay: Job canceled CANCELED: Canceled while it waited for attempt 2\n$/);
  });
});

describe("belay run that is stopped", () => {
  it("by SIGTERM, in setup or command, exits with 75: the job is PENDING, and the next belay run is attempt 2", async () => {
    const { run, runEnds, job } = at((await testTracker()).address);
    const stopped = async (jobId: string, ...command: string[]): Promise<void> => {
      const flags = ["--job", jobId, "--max-attempts", "2", ...command];
      const first = run(...flags);
      await first.says(/^attempt 1$/m);
      expect(await first.kill("SIGTERM")).toBe(75);
      expect(first.stderr).toMatch(
        new RegExp(`^belay: Attempt 1 of 2 of job ${jobId} CANCELED \\(AGENT_STOPPED.*: The agent was asked to stop`),
      );
      expect(first.stderr).toContain(`The job waits for attempt 2: belay run --job ${jobId} runs it\n`);
      expect((await job(jobId)).state).toBe(JobState.PENDING);
      const second = await runEnds(...flags);
      expect([second.code, second.stdout.split("\n")[0]]).toEqual([0, "attempt 2"]);
      const ended = await job(jobId);
      expect(ended.state).toBe(JobState.SUCCEEDED);
      expect(ends(ended)[0]).toEqual([EndReason.AGENT_STOPPED, PREEMPTED]);
    };
    await Promise.all([
      stopped("command", "--", "sh", "-c", ONCE_STUCK),
      stopped("setup", "--setup", ONCE_STUCK, "--", "echo", "main"),
    ]);
  });

  it("by SIGINT, or with --on-stop end by any signal, ends the job whatever its policy", async () => {
    const { run, job } = at((await testTracker()).address);
    const policy = ["--max-attempts", "5", "--retry-on", "job,preempted,infrastructure"];
    const stopped = async (jobId: string, signal: NodeJS.Signals, ...flags: string[]): Promise<void> => {
      const cli = run("--job", jobId, ...policy, ...flags, "--", "sh", "-c", ONCE_STUCK);
      await cli.says(/^attempt 1$/m);
      expect(await cli.kill(signal)).toBe(143);
      const ended = await job(jobId);
      expect(ended.state).toBe(JobState.CANCELED);
      expect(ends(ended)).toEqual([[EndReason.AGENT_STOPPED, ORDERED]]);
    };
    await Promise.all([stopped("j1", "SIGINT"), stopped("j2", "SIGTERM", "--on-stop", "end")]);
  });

  it("by SIGTERM while steps after the end run goes by the end of the command: another attempt follows only a failure", async () => {
    const { address } = await testTracker();
    const { job } = at(address);
    const stdin = "retry: { maxAttempts: 2, on: [job] }\nafter: [{ run: 'echo ending; sleep 0.5' }]";
    const stopped = async (jobId: string, code: number): Promise<[unknown, JobState]> => {
      const flags = ["--tracker", address, "--job", jobId, "--spec", "-"];
      const cli = belay(["run", ...flags, "--", "sh", "-c", `exit ${code}`], { stdin });
      await cli.says(/^ending$/m);
      return [await cli.kill("SIGTERM"), (await job(jobId)).state];
    };
    expect(await Promise.all([stopped("failed", 4), stopped("succeeded", 0)])).toEqual([
      [75, JobState.PENDING],
      [0, JobState.SUCCEEDED],
    ]);
  });

  it("while the tracker is away keeps the rest: belay flush delivers it, the job is PENDING, and the next run is attempt 2", async () => {
    const tracker = await TrackerProcess.start();
    const spool = await tempDirectory();
    const flags = ["--job", "j1", "--max-attempts", "2", "--spool-dir", spool, "--flush-timeout", "300ms"];
    const run = tracker.belay("run", ...flags, "--", "sh", "-c", ONCE_STUCK);
    await run.says(/^attempt 1$/m);
    await tracker.cli.kill("SIGKILL");
    expect(await run.kill("SIGTERM")).toBe(75);
    expect(run.stderr).toContain(`the rest is kept; deliver it later with: belay flush ${spool}`);
    expect(run.stderr).toContain("Attempt 2 follows: a belay run with this --spool-dir delivers the rest, and runs it");
    const again = await TrackerProcess.start({ data: tracker.data, listen: new URL(tracker.url).host });
    expect((await belayEnds(["flush", spool, "--tracker", again.url])).stdout).toBe(
      "Delivered  job j1, attempt 1; the job is PENDING again, for its next attempt\n",
    );
    const { runEnds, job } = at(again.url);
    const second = await runEnds(...flags, "--", "sh", "-c", ONCE_STUCK);
    expect([second.code, second.stdout]).toEqual([0, "attempt 2\n"]);
    expect(ends(await job("j1"))[0]).toEqual([EndReason.AGENT_STOPPED, PREEMPTED]);
  });
});

describe("belay run after an agent that has gone", () => {
  it("takes the job over at once with --takeover, and delivers what that one left in --spool-dir", async () => {
    // Without a takeover, the second agent would wait for the lease.
    const { run, runEnds, job, log } = at((await testTracker({ lease: 600_000 })).address);
    const takenOver = async (jobId: string, ...spool: string[]): Promise<void> => {
      const flags = ["--job", jobId, ...spool];
      const first = run(...flags, "--", "sh", "-c", ONCE_STUCK);
      await first.says(/^attempt 1$/m);
      await first.kill("SIGKILL");
      const second = await runEnds(...flags, "--takeover", "--", "sh", "-c", ONCE_STUCK);
      expect([second.code, second.stdout], second.stderr).toEqual([0, "attempt 2\n"]);
      const ended = await job(jobId);
      expect(ended.state).toBe(JobState.SUCCEEDED);
      expect(ends(ended)[0]).toEqual([EndReason.AGENT_LOST, INFRASTRUCTURE]);
    };
    await Promise.all([takenOver("j1"), takenOver("j2", "--spool-dir", await tempDirectory())]);
    expect(await log("j2", 1)).toBe("attempt 1\n");
  });

  it("does not run a job again whose success that one could not deliver, but delivers it and exits with its code", async () => {
    const tracker = await TrackerProcess.start();
    const [spool, cwd] = [await tempDirectory(), await tempDirectory()];
    const flags = ["--job", "j1", "--spool-dir", spool, "--cwd", cwd, "--max-attempts", "3", "--retry-on", "job"];
    const script = "echo x >> runs; echo ready; until [ -e go ]; do sleep 0.02; done";
    const first = tracker.belay("run", ...flags, "--flush-timeout", "300ms", "--", "sh", "-c", script);
    await first.says(/^ready$/m);
    await tracker.cli.kill("SIGKILL");
    writeFileSync(`${cwd}/go`, "");
    expect(await first.ended).toBe(125);

    const away = await tracker.ends("run", ...flags, "--connect-timeout", "1s", "--", "sh", "-c", script);
    expect([away.code, away.stdout]).toEqual([125, ""]);
    expect(away.stderr).toContain("belay: Cannot reach the tracker at ");

    const again = await TrackerProcess.start({ data: tracker.data, listen: new URL(tracker.url).host });
    const second = await again.ends("run", ...flags, "--", "sh", "-c", script);
    expect(second.code, second.stderr).toBe(0);
    expect(second.stderr).toContain(
      "Nothing was run: the job had ended with attempt 1, whose agent could not deliver the result\nbelay: Job j1 SUCCEEDED",
    );
    expect(readFileSync(`${cwd}/runs`, "utf8")).toBe("x\n");
    expect(readdirSync(spool)).toEqual([]);
    const job = await at(again.url).job("j1");
    expect(job).toMatchObject({ state: JobState.SUCCEEDED, result: { outcome: Outcome.SUCCEEDED } });
  });
});

it("With a tracker that is too old for retry policies, belay run says so once, and the job's end is its own", async () => {
  using tracker = await ScriptedTracker.start();
  const flags = ["--max-attempts", "3", "--retry-on", "job", "--job", "j1", "--takeover"];
  const run = at(tracker.url).run(...flags, "--", "sh", "-c", "exit 3");
  const stream = await tracker.stream();
  stream.welcome({ trackerVersion: "0.1" });
  stream.behave();
  expect(await run.ended).toBe(3);
  const lines = run.stderr.split("\n").filter((line) => line.includes("This tracker (belay 0.1) does not know"));
  expect(lines).toEqual([expect.stringContaining("retry policies: "), expect.stringContaining("takeovers: ")]);
});

it.each([
  [["--takeover"], "Cannot use --takeover without --job: a new job has no agent yet"],
  [["--on-stop", "requeue"], "Cannot use --on-stop requeue: it needs --max-attempts of 2 or more"],
  [
    ["--on-stop", "requeue", "--max-attempts", "2", "--retry-on", "job"],
    'Cannot use --on-stop requeue: it needs "preempted" among --retry-on',
  ],
])("belay run %j is refused before anything runs", async (flags, message) => {
  expect(await belayEnds(["run", ...flags, "--", "echo", "x"])).toMatchObject({
    code: 64,
    stdout: "",
    stderr: expect.stringContaining(message),
  });
});
