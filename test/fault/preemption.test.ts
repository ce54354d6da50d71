import { existsSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { expect, it, vi } from "vitest";
import { EndReason, FailureClass, JobState, LogCompleteness } from "../../src/gen/belay/v1/job_pb.ts";
import { readLog, waitForState } from "../../src/testing/index.ts";
import { belay, type Cli } from "../helpers/cli.ts";
import { randomFrom } from "../helpers/random.ts";
import { testDirectory, testTracker } from "../helpers/tracker.ts";

/** How often the job is stopped; BELAY_TEST_STOPS sets it. */
const STOPS = Number(process.env["BELAY_TEST_STOPS"] ?? 100);
/** Of the random choices; BELAY_TEST_SEED sets it. */
const SEED = Number(process.env["BELAY_TEST_SEED"] ?? Date.now() % 1_000_000);

/**
 * Counts from where the attempt before it has saved. Notes in a journal of its own what it has printed, and in
 * `overlaps` when another attempt is still at work: each of its processes holds the lock.
 */
const COUNTER = `
import fcntl, os, signal, sys, time
attempt = os.environ["BELAY_ATTEMPT"]
lock = open("lock", "w")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    with open("overlaps", "a") as overlaps: overlaps.write(attempt + "\\n")
    sys.exit(9)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(attempt) % 4))
n = int(open("saved").read()) if os.path.exists("saved") else 0
journal = open("journal-" + attempt, "w")
with open("pid", "w") as pid: pid.write(str(os.getpid()))
while not os.path.exists("finish"):
    n += 1
    print(n, flush=True)
    journal.write(str(n) + "\\n")
    journal.flush()
    with open("saved.new", "w") as saved: saved.write(str(n))
    os.rename("saved.new", "saved")
    time.sleep(0.001)
`;

/** The ways in which a platform stops an attempt, and what the next one is started with. */
const WAYS = ["agent", "job, then agent", "agent, then job", "kill -9", "kill -9, then takeover elsewhere"] as const;

it(`a job that counts lives through ${STOPS} random stops (seed ${SEED})`, async () => {
  const { address, jobs } = await testTracker();
  const directory = await testDirectory();
  const file = (name: string): string => path.join(directory, name);
  await writeFile(file("counter.py"), COUNTER);
  const next = randomFrom(SEED);
  const ways: (typeof WAYS)[number][] = [];
  let machine = 1;
  const begin = (...flags: readonly string[]): Cli =>
    belay([
      "run",
      "--quiet",
      "--tracker",
      address,
      "--job",
      "counting",
      "--max-attempts",
      "1000",
      "--cwd",
      directory,
      "--spool-dir",
      file(`spool-${machine}`),
      ...flags,
      "--",
      "python3",
      "counter.py",
    ]);

  let agent = begin();
  for (let attempt = 1; attempt <= STOPS; attempt++) {
    const pid = await countsOn(agent, attempt);
    const delay = next() * 40;
    await new Promise((resolve) => setTimeout(resolve, delay));
    const way = WAYS[Math.floor(next() * WAYS.length)] ?? "agent";
    ways.push(way);
    if (way === "job, then agent") process.kill(pid, "SIGTERM");
    agent.child.kill(way.startsWith("kill") ? "SIGKILL" : "SIGTERM");
    if (way === "agent, then job") signalIfAlive(pid);
    const ended = await agent.ended;
    expect(ended, `attempt ${attempt}, ${way}: ${agent.stderr}`).toBe(way.startsWith("kill") ? "SIGKILL" : 75);
    if (way === "kill -9, then takeover elsewhere") {
      machine++;
      agent = begin("--takeover");
    } else {
      agent = begin();
    }
  }
  await countsOn(agent, STOPS + 1);
  await writeFile(file("finish"), "");
  expect(await agent.ended, agent.stderr).toBe(0);

  const job = await waitForState(jobs, "counting", "SUCCEEDED");
  expect(existsSync(file("overlaps")), "two attempts were at work at once").toBe(false);
  expect(job.attempts).toHaveLength(STOPS + 1);
  expect(job.state).toBe(JobState.SUCCEEDED);
  let counted = 0;
  for (const [i, { result, logCompleteness }] of job.attempts.entries()) {
    const attempt = i + 1;
    const way = ways[i];
    const where = `attempt ${attempt}, ${way ?? "the last"}`;
    const printed = numbers(await readLog(jobs, "counting", { attempt, stream: "stdout" }));
    const journal = numbers(readFileSync(file(`journal-${attempt}`), "utf8"));
    // It goes on after what was saved last; between the print and the save it may have been killed.
    expect([counted, counted + 1], where).toContain(journal[0]);
    expect(printed, where).toEqual(printed.map((_, k) => (journal[0] ?? 0) + k));
    if (way?.startsWith("kill") === true) {
      expect(result, where).toMatchObject({ reason: EndReason.AGENT_LOST, failureClass: FailureClass.INFRASTRUCTURE });
      // What the agent had not read when it was killed is nowhere.
      expect(printed.length, where).toBeLessThanOrEqual(journal.length + 1);
    } else {
      if (way !== undefined) {
        expect(result, where).toMatchObject({ reason: EndReason.AGENT_STOPPED, failureClass: FailureClass.PREEMPTED });
      }
      expect(logCompleteness, where).toBe(LogCompleteness.COMPLETE);
      // The last number may be printed and not noted.
      expect([journal.length, journal.length + 1], where).toContain(printed.length);
    }
    counted = journal.at(-1) ?? counted;
  }
  expect(Number(readFileSync(file("saved"), "utf8"))).toBe(counted);

  /** Resolves, with the job's process id, when an attempt has counted. */
  async function countsOn(running: Cli, attempt: number): Promise<number> {
    return await vi
      .waitFor(
        () => {
          if (numbers(readFileSync(file(`journal-${attempt}`), "utf8")).length === 0) throw new Error("no number yet");
          return Number(readFileSync(file("pid"), "utf8"));
        },
        { timeout: 30_000, interval: 5 },
      )
      .catch((error: unknown) => {
        throw new Error(`Attempt ${attempt} did not begin: ${running.stderr}`, { cause: error });
      });
  }
}, 240_000);

function numbers(text: string): number[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map(Number);
}

function signalIfAlive(pid: number): void {
  try {
    process.kill(pid, "SIGTERM");
  } catch {
    // It has ended.
  }
}
