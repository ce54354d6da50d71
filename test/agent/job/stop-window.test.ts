import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { create, fromJson, type JsonValue, toJson } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { STOP_WINDOW, stopWait } from "../../../src/agent/job/end/stop-window.ts";
import type { Job } from "../../../src/agent/job/types.ts";
import type { ContainmentChoice } from "../../../src/agent/options.ts";
import { sleep } from "../../../src/base/clock.ts";
import { messageOf } from "../../../src/base/errors.ts";
import {
  EndReason,
  FailureClass,
  type JobResult,
  JobResultSchema,
  JobSpecSchema,
  Outcome,
} from "../../../src/gen/belay/v1/job_pb.ts";
import { type LocalJob, LOCAL_MODES, start } from "./local.ts";

const DRIVER = fileURLToPath(new URL("../../fixtures/stopped-driver.ts", import.meta.url));
const run = promisify(execFile);

/** An agent in a process of its own, in which real signals arrive. */
class Agent implements AsyncDisposable {
  private readonly child: ChildProcess;
  private readonly lines: AsyncIterator<string>;

  constructor(containment: ContainmentChoice) {
    this.child = spawn(process.execPath, ["--no-warnings", DRIVER, containment], {
      stdio: ["pipe", "pipe", "inherit"],
      detached: true,
    });
    this.lines = createInterface({ input: this.child.stdout ?? process.stdin })[Symbol.asyncIterator]();
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** Starts a job and waits until it has printed something. @returns its pid */
  async start(spec: JsonValue): Promise<number> {
    this.child.stdin?.write(`${JSON.stringify(spec)}\n`);
    return (await this.next())["ready"] as number;
  }

  async result(): Promise<JobResult> {
    for (;;) {
      const line = await this.next();
      if (line["result"] !== undefined) return fromJson(JobResultSchema, line["result"]);
    }
  }

  private async next(): Promise<Record<string, JsonValue>> {
    const { value } = await this.lines.next();
    return JSON.parse(String(value)) as Record<string, JsonValue>;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill("SIGKILL");
    if (this.child.exitCode === null && this.child.signalCode === null) await once(this.child, "exit");
  }
}

/** Waits for signals without a child of its own, and says when it does. */
const perl = (handler: string): string[] => ["perl", "-e", `$| = 1; ${handler}; print "ready\\n"; sleep 100 while 1`];
/** At once: perl's own exit drops the handlers first, and the signal of the agent's would end it then. */
const exits = (code: number): string => `use POSIX (); $SIG{$_} = sub { POSIX::_exit(${code}) } for qw(TERM INT)`;

/** What jobs do about a stop signal, and what the result has of it. */
const REACTIONS: readonly [title: string, command: string[], own: Partial<JobResult>][] = [
  ["saves and exits with 0", perl(exits(0)), { exitCode: 0 }],
  ["exits with 3", perl(exits(3)), { exitCode: 3 }],
  ["exits with 143", perl(exits(143)), { exitCode: 143 }],
  ["dies of it", perl(""), { signal: "SIG" }],
  ["ignores it", perl("$SIG{$_} = 'IGNORE' for qw(TERM INT)"), { signal: "SIGKILL" }],
];
/** More tries where the agent must not take a success for the job's own. */
const tries = (title: string): number => Number(process.env["STOP_TRIES"] ?? (title.includes("with 0") ? 5 : 1));

async function killTogether(signal: string, pids: readonly number[]): Promise<void> {
  // kill(1) reports a process that the agent has ended before it is its turn.
  await run("kill", [`-${signal}`, "--", ...pids.map(String)]).catch(() => undefined);
}

describe.for(LOCAL_MODES)("A job held by a %s, signalled together with its agent,", { timeout: 60_000 }, (mode) => {
  let agent: Agent;
  beforeAll(() => (agent = new Agent(mode)));
  afterAll(() => agent[Symbol.asyncDispose]());

  it.for(REACTIONS)("that %s was stopped, whichever got the signal first", async ([title, command, own]) => {
    const gracePeriod = durationFromMs(title === "ignores it" ? 100 : 10_000);
    const spec = toJson(JobSpecSchema, create(JobSpecSchema, { command, gracePeriod }));
    for (let round = 0; round < tries(title); round++) {
      for (const signal of ["TERM", "INT"]) {
        for (const jobFirst of [true, false]) {
          const job = await agent.start(spec);
          await killTogether(signal, jobFirst ? [-job, agent.pid] : [agent.pid, -job]);
          const result = await agent.result();
          const failureClass = FailureClass.PREEMPTED;
          expect(result).toMatchObject({ outcome: Outcome.CANCELED, reason: EndReason.AGENT_STOPPED, failureClass });
          expect(result.exitCode).toBe(own.exitCode);
          expect(result.signal).toMatch(own.signal ?? /^$/);
          expect(result.message).toMatch(
            /^The agent was asked to stop(, \d+ ms after this end of the job: Main command .+)?$/,
          );
        }
      }
    }
  });

  it("was stopped in its setup", async () => {
    for (const command of [perl(exits(3)), perl("")]) {
      const run = `exec perl -e '${(command.at(-1) ?? "").replaceAll("'", "'\\''")}'`;
      const job = await agent.start(
        toJson(JobSpecSchema, create(JobSpecSchema, { setup: [{ run }], command: ["true"] })),
      );
      await killTogether("TERM", [-job, agent.pid]);
      expect(await agent.result()).toMatchObject({ reason: EndReason.AGENT_STOPPED, step: 1 });
    }
  });
});

const STOP = { reason: EndReason.AGENT_STOPPED, message: "The agent was asked to stop" };
const CANCEL = { reason: EndReason.CANCELED, message: "Canceled by the test" };

/** A job of an agent that may be stopped; `then` is called when its command has ended and that was reported. */
function endsBefore(command: string[], then: (job: Job) => void, mayBeStopped = true): LocalJob {
  const started: LocalJob = start(
    { command },
    { mayBeStopped },
    { stepEnded: () => setImmediate(() => then(started.job)) },
  );
  return started;
}

describe("An end of a job by itself", () => {
  it("is its own when no stop follows, and is reported after the time in which one may", async () => {
    let end = 0;
    const job = endsBefore(["sh", "-c", "exit 3"], () => (end = performance.now()));
    const result = await job.result;
    expect(result).toMatchObject({ reason: EndReason.EXITED, exitCode: 3, failureClass: FailureClass.JOB });
    expect(performance.now() - end).toBeGreaterThan(STOP_WINDOW.most - 20);
    // That time is not the job's.
    const took = result.endTime && result.startTime ? timestampMs(result.endTime) - timestampMs(result.startTime) : NaN;
    expect(took).toBeLessThan(STOP_WINDOW.most - 20);
  });

  it("is its own when the stop comes later, while what it left behind is being ended", async () => {
    const late = (job: Job): void => void sleep(STOP_WINDOW.most + 100).then(() => job.end({ ...STOP, grace: 0 }));
    const leaves = "trap '' TERM; sleep 1000 >/dev/null 2>&1 & echo; exit 3";
    expect(await endsBefore(["sh", "-c", leaves], late).result).toMatchObject({
      outcome: Outcome.FAILED,
      reason: EndReason.EXITED,
      exitCode: 3,
    });
  });

  it("is its own when what follows at once is a cancel, or a pause, which is refused with the state", async () => {
    const refusals: string[] = [];
    const { result } = endsBefore(["sh", "-c", "exit 3"], (job) => {
      job.pause().catch((error: unknown) => refusals.push(messageOf(error)));
      job.end(CANCEL);
    });
    expect(await result).toMatchObject({ reason: EndReason.EXITED, exitCode: 3 });
    expect(refusals).toEqual(['Cannot pause job "local": it is FAILED']);
  });

  it("is its own at once, without waiting, where no agent can be stopped", async () => {
    const { result } = endsBefore(["sh", "-c", "exit 3"], (job) => job.end(STOP), false);
    expect(await result).toMatchObject({ reason: EndReason.EXITED, exitCode: 3 });
  });

  it("with code 0 is the stop's that comes at once, and its own when the stop comes later", async () => {
    const early = endsBefore(["sh", "-c", "sleep 1; echo saved"], (job) => job.end(STOP));
    expect(await early.result).toMatchObject({ reason: EndReason.AGENT_STOPPED, exitCode: 0 });
    // What it leaves behind keeps the result away until after the stop.
    const leaves = "trap '' TERM; sleep 1000 >/dev/null 2>&1 & echo done";
    const late = endsBefore(["sh", "-c", leaves], (job) => {
      void sleep(STOP_WINDOW.most + 50).then(() => job.end({ ...STOP, grace: 0 }));
    });
    expect(await late.result).toMatchObject({ outcome: Outcome.SUCCEEDED, failureClass: FailureClass.UNSPECIFIED });
  });

  it.each([
    ["failed", { code: 3 }, 10, 200],
    ["was ended by a signal", { code: undefined }, 10_000, 200],
    ["succeeded soon", { code: 0 }, 50, 5],
    ["succeeded after a second", { code: 0 }, 1000, 100],
    ["succeeded after an hour", { code: 0 }, 3_600_000, 200],
  ])("waits for a stop as it is stated: %s", (_title, exit, ran, wait) => {
    expect(stopWait(exit, ran, STOP_WINDOW)).toBe(wait);
  });
});
