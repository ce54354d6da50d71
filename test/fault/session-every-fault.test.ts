import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { isAlive, readProcess } from "../../src/agent/job/tree/proc.ts";
import type { SessionTiming } from "../../src/agent/session/session-timing.ts";
import { JobState, LogCompleteness, LogStream } from "../../src/gen/belay/v1/job_pb.ts";
import { GoodbyeReason, GoodbyeSchema, OpenSessionResponseSchema } from "../../src/gen/belay/v1/tracker_service_pb.ts";
import { readLog } from "../../src/testing/index.ts";
import { testDirectory, testTracker } from "../helpers/tracker.ts";
import type { TestTracker } from "../helpers/tracker.ts";
import { type SomeAgent, someAgent } from "./an-agent.ts";
import { type ArmedFault, FaultProxy } from "./fault-proxy.ts";
import { record } from "./record.ts";
import { afterWelcome, beforeWelcome, endWith, endWithoutTrailers, onConnect, onFirstBytes } from "./vices.ts";
import type { CallVice } from "./vices.ts";

/**
 * How a fault is caused.
 *
 * - `live`: it happens to the open stream.
 * - `next`: the open stream is ended so that the agent comes back at once, and the fault happens to the next one.
 * - `away`: the open stream is cut, and no server listens until the agent has noticed.
 */
type Fault = { readonly name: string } & (
  | { readonly how: "live"; readonly does: CallVice }
  | { readonly how: "next"; readonly armed: ArmedFault }
  | { readonly how: "away" }
);

const faults: readonly Fault[] = [
  ...afterWelcome.map(([name, does]): Fault => ({ name, how: "live", does })),
  { name: "END_STREAM without trailers, which only silence shows", how: "live", does: endWithoutTrailers },
  ...onConnect.map(([name, does]) => next(name, { at: "connection", does })),
  ...onFirstBytes.map(([name, does]) => next(name, { at: "first bytes", does })),
  ...beforeWelcome.map(([name, does]) => next(name, { at: "call", does })),
  next("a tracker that never sends Welcome", { at: "call", does: () => undefined }),
  { name: "no server listens", how: "away" },
];

function next(name: string, armed: ArmedFault): Fault {
  return { name: `before Welcome: ${name}`, how: "next", armed };
}

/**
 * Short times; the published table is made with the agent's own ones. session-bad-tracker.test and test/agent/session
 * test that each of those is kept.
 */
const timing: Partial<SessionTiming> =
  (process.env["BELAY_FAULT_TABLE"] ?? "") === ""
    ? { connect: 2000, welcome: 2000, backoff: { base: 100, cap: 30_000 } }
    : {};

/** Ends a stream as a stopping tracker does: the agent comes back at once. */
function sendAway(stream: Parameters<CallVice>[0]): void {
  const value = create(GoodbyeSchema, { reason: GoodbyeReason.DRAINING, retryDelay: durationFromMs(0) });
  const body = toBinary(
    OpenSessionResponseSchema,
    create(OpenSessionResponseSchema, { payload: { case: "goodbye", value } }),
  );
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  stream.write(Buffer.concat([head, body]));
  endWith(stream, "0");
}

/** Script of two processes that print numbers until a file exists, each with its name in every line. */
function twoCounters(end: string): string {
  const count = `count() { i=0; while [ ! -e ${end} ]; do i=$((i+1)); echo $1 $i; sleep $2; done; echo $1 counted $i; }`;
  return `${count}; count child 0.1 & echo pids $$ $!; count main 0.03; wait`;
}

/**
 * Follows the state of agent and tracker. The agent runs in this process, so that its events are seen at once, and none
 * is attributed to the wrong fault.
 */
class Observer {
  /** Whether the agent has a stream that was welcomed. */
  open = false;
  /** Called at each loss of a stream, with or without Welcome, before the agent reacts. */
  onLost: () => void = () => undefined;
  /** Output that a follower has received from the tracker. */
  followed = "";
  private broken: unknown;
  private wake: () => void = () => undefined;

  readonly onProgress = (line: string): void => {
    this.open = line.startsWith("connected");
    if (line.startsWith("not connected: ")) this.onLost();
    this.wake();
  };

  /** Follows the log of a job directly at the tracker. */
  follow({ jobs }: TestTracker, jobId: string): void {
    const read = async (): Promise<void> => {
      for await (const { chunks } of jobs.readLogs({ jobId, streams: [LogStream.STDOUT], follow: true })) {
        for (const { content } of chunks) {
          if (content.case === "data") this.followed += Buffer.from(content.value).toString("latin1");
        }
        this.wake();
      }
    };
    read().catch((error: unknown) => {
      this.broken = error;
      this.wake();
    });
  }

  /** Waits until a condition holds, which is checked after each event. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      if (this.broken !== undefined) throw this.broken;
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }
}

/** Number of bytes from the first one on that a follower did not get as it was printed. */
function bytesWrong(followed: string, printed: string): number {
  let same = 0;
  while (same < followed.length && followed[same] === printed[same]) same++;
  return followed.length - same;
}

/** When a process was started, in the kernel's ticks; a process that has ended has no time, or another's. */
function startTimeOf(pid: number): number | undefined {
  const entry = readProcess(pid);
  return entry === undefined || !isAlive(entry) ? undefined : entry.startTime;
}

/** The numbers that one of the counters printed. */
function numbers(log: string, who: string): number[] {
  return [...log.matchAll(new RegExp(`^${who} (\\d+)$`, "gm"))].map(([, number]) => Number(number));
}

/** Milliseconds of `performance.now()`. */
interface Times {
  faultTime: number;
  noticed: number;
  /** When the fault was over, if it lasts; else when it happened. */
  over: number;
  recovered: number;
}

/** Causes a fault, and waits until the agent has recovered from it. */
async function causeFault(fault: Fault, proxy: FaultProxy, observer: Observer, agent: SomeAgent): Promise<Times> {
  await observer.until(() => observer.open);
  const now = performance.now();
  const times: Times = { faultTime: now, noticed: Number.NaN, over: now, recovered: Number.NaN };
  // The agent has an open stream, so the next event is the loss of that stream. For a fault of the next stream, this
  // first loss is caused by the test, and the second one by the fault.
  let losses = fault.how === "live" ? 1 : 2;
  observer.onLost = () => {
    losses--;
    if (losses === 1 && fault.how === "away") times.noticed = performance.now();
    if (losses !== 0) return;
    if (fault.how === "away") {
      times.over = performance.now();
      proxy.comeBack();
    } else {
      times.noticed = performance.now();
      proxy.disarm();
    }
  };
  let happened = false;
  switch (fault.how) {
    case "live":
      proxy.injectFault(fault.does);
      break;
    case "next":
      proxy.arm(fault.armed, () => {
        if (!happened) times.faultTime = times.over = performance.now();
        happened = true;
      });
      proxy.injectFault(sendAway);
      break;
    case "away":
      proxy.goAway();
      break;
  }
  await observer.until(() => losses <= 0 && observer.open);
  const printed = agent.output().length;
  await observer.until(() => observer.followed.length >= printed);
  times.recovered = performance.now();
  return times;
}

/**
 * The agent has recovered from a fault when a stream is open again, and a follower at the tracker has exactly the bytes
 * that were printed until then.
 */
test("One job survives every way in which a stream can end: no byte is lost, and no process harmed", {
  timeout: 180_000,
}, async () => {
  const tracker = await testTracker({ heartbeatInterval: 500 });
  const proxy = await FaultProxy.open(tracker.address);
  const end = join(await testDirectory(), "end");
  const observer = new Observer();
  const agent = someAgent(proxy.url, twoCounters(end), { onProgress: observer.onProgress, timing });
  await agent.prints("child 1\n");
  const [, main, child] = /^pids (\d+) (\d+)$/m.exec(agent.output()) ?? [];
  const processes = [Number(main), Number(child)].map((pid) => ({ pid, startTime: startTimeOf(pid) }));
  observer.follow(tracker, agent.jobId);

  for (const fault of faults) {
    const { faultTime, noticed, over, recovered } = await causeFault(fault, proxy, observer, agent);
    const bytesLost = bytesWrong(observer.followed, agent.output());
    const harmed = processes.filter(({ pid, startTime }) => startTimeOf(pid) !== startTime).length;
    expect({ bytesLost, harmed }, fault.name).toEqual({ bytesLost: 0, harmed: 0 });
    record({ fault: fault.name, noticed: noticed - faultTime, recovered: recovered - over, bytesLost, harmed });
  }

  writeFileSync(end, "");
  const { delivered, undelivered, result } = await agent.outcome;
  expect({ delivered, undelivered, exitCode: result.exitCode }).toEqual({
    delivered: true,
    undelivered: "",
    exitCode: 0,
  });
  const { job } = await tracker.jobs.getJob({ jobId: agent.jobId });
  expect(job?.state).toBe(JobState.SUCCEEDED);
  expect(job?.attempts.map(({ logCompleteness }) => logCompleteness)).toEqual([LogCompleteness.COMPLETE]);
  const stored = await readLog(tracker.jobs, agent.jobId, { follow: false, stream: "stdout" });
  expect(stored).toBe(agent.output());
  for (const who of ["main", "child"]) {
    const counted = Number(new RegExp(`^${who} counted (\\d+)$`, "m").exec(stored)?.[1]);
    expect(numbers(stored, who)).toEqual(Array.from({ length: counted }, (_, i) => i + 1));
  }
});
