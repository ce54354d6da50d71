import { getEventListeners } from "node:events";
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { AgentOutcome, AttemptsOptions, AttemptsOutcome } from "../../../src/agent/options.ts";
import { runAttemptsTimed } from "../../../src/agent/attempts/run-attempts.ts";
import { SESSION_TIMING } from "../../../src/agent/session/session-timing.ts";
import { silentLogger } from "../../../src/base/logger.ts";
import { FEATURES } from "../../../src/contract/features.ts";
import {
  EndReason,
  FailureClass,
  type JobResult,
  JobSpecSchema,
  JobState,
  LogStream,
  Outcome,
  type RetryPolicy,
  RetryPolicySchema,
} from "../../../src/gen/belay/v1/job_pb.ts";
import { temporaryDirectory } from "../report/model.ts";
import { type ScriptedStream, ScriptedTracker } from "../../helpers/scripted-tracker.ts";

let tracker: ScriptedTracker;
let stop: AbortController;
beforeEach(async () => {
  stop = new AbortController();
  tracker = await ScriptedTracker.start();
});
afterEach(() => tracker.close());

const retry: RetryPolicy = create(RetryPolicySchema, {
  maxAttempts: 3,
  on: [FailureClass.JOB, FailureClass.PREEMPTED],
});
const waits = { "belay-retry-delay-ms": "3600000" };
const ordered = (): Error => Object.assign(new Error("Ctrl-C"), { stopKind: "ordered" });

function agent(
  script: string,
  options: Partial<AttemptsOptions> = {},
  policy = retry,
  poll = 100,
): Promise<AttemptsOutcome> {
  const spec = create(JobSpecSchema, {
    command: ["sh", "-c", script],
    retry: policy,
    metricsInterval: durationFromMs(0),
    gracePeriod: durationFromMs(500),
  });
  return runAttemptsTimed(
    { tracker: tracker.url, jobId: "j1", spec, connectTimeout: 5000, flushTimeout: 5000, ...options },
    { ...SESSION_TIMING, poll },
  );
}

/** Gives the next session an attempt; when it has ended, the job is in this state. */
async function give(attempt: number, jobState: JobState, policy = retry): Promise<ScriptedStream> {
  const stream = await tracker.stream();
  stream.welcome({ attempt, features: [...FEATURES], retry: policy });
  stream.behave({ jobState });
  return stream;
}

function resultOf(stream: ScriptedStream): JobResult | undefined {
  return eventsOf(stream, "result")[0] as JobResult | undefined;
}

function eventsOf(stream: ScriptedStream, wanted: string): unknown[] {
  return stream.received.flatMap(({ case: kind, value }) =>
    kind === "event" && value.kind.case === wanted ? [value.kind.value] : [],
  );
}

function agentLog(stream: ScriptedStream): string {
  const chunks = stream.received.flatMap((payload) => (payload.case === "logBatch" ? payload.value.chunks : []));
  return chunks
    .flatMap(({ stream: from, content }) =>
      from === LogStream.AGENT && content.case === "data" ? [Buffer.from(content.value).toString()] : [],
    )
    .join("");
}

describe("an agent whose job has a retry policy", () => {
  test("runs attempt after attempt, each in a session of its own, until one succeeds", async () => {
    const between: AgentOutcome[] = [];
    let output = "";
    const outcome = agent('echo "attempt $BELAY_ATTEMPT"; [ "$BELAY_ATTEMPT" = 3 ]', {
      onAttempt: (ended) => void between.push(ended),
      onOutput: (_, data) => void (output += Buffer.from(data).toString()),
    });
    const streams = [
      await give(1, JobState.PENDING),
      await give(2, JobState.PENDING),
      await give(3, JobState.SUCCEEDED),
    ];
    expect(await outcome).toMatchObject({ attempt: 3, delivered: true, result: { outcome: Outcome.SUCCEEDED } });
    expect(output).toBe("attempt 1\nattempt 2\nattempt 3\n");
    expect(between).toMatchObject([
      { attempt: 1, next: { attempt: 2, of: 3, delay: 0 }, result: { failureClass: FailureClass.JOB, exitCode: 1 } },
      { attempt: 2, next: { attempt: 3, of: 3, delay: 0 } },
    ]);
    expect((await outcome).next).toBeUndefined();
    const hellos = await Promise.all(streams.map((stream) => stream.next("hello")));
    expect(new Set(hellos.map(({ sessionId }) => sessionId)).size).toBe(3);
    expect(hellos.map(({ attempt, state }) => [attempt, state])).toEqual(hellos.map(() => [0, JobState.PENDING]));
  });

  test("asks for the next attempt only when the policy's delay is over", async () => {
    const policy = create(RetryPolicySchema, { ...retry, delay: durationFromMs(400) });
    const outcome = agent('[ "$BELAY_ATTEMPT" = 2 ]', {}, policy, 10_000);
    const first = await give(1, JobState.PENDING, policy);
    while ((await first.next("event")).kind.case !== "result");
    const begin = performance.now();
    await give(2, JobState.SUCCEEDED, policy);
    // The delay counts from the end of the job, a moment before its result came here.
    expect(performance.now() - begin).toBeGreaterThan(300);
    expect((await outcome).attempt).toBe(2);
  });

  test("leaves no listener and no timer of its attempts behind", async () => {
    const stopNow = new AbortController();
    const before = process.eventNames().map((name) => [name, process.listenerCount(name)]);
    const policy = create(RetryPolicySchema, { maxAttempts: 100, on: [FailureClass.JOB] });
    const outcome = agent('[ "$BELAY_ATTEMPT" = 20 ]', { stop: stop.signal, stopNow: stopNow.signal }, policy);
    for (let attempt = 1; attempt <= 20; attempt++) {
      await give(attempt, attempt === 20 ? JobState.SUCCEEDED : JobState.PENDING, policy);
    }
    expect((await outcome).attempt).toBe(20);
    expect([stop, stopNow].map(({ signal }) => getEventListeners(signal, "abort"))).toEqual([[], []]);
    expect(process.eventNames().map((name) => [name, process.listenerCount(name)])).toEqual(before);
  });

  test("keeps its own pages at their address, with the facts of the attempt that runs", async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const outcome = agent('[ "$BELAY_ATTEMPT" = 2 ] && exec sleep 1000', {
      admin: "127.0.0.1:0",
      onProgress: (line) => {
        const address = /pages of this agent at (\S+)/.exec(line)?.[1];
        if (address !== undefined) resolve(address);
      },
      stop: stop.signal,
    });
    const metrics = async (): Promise<string> => (await fetch(`${await promise}/metrics`)).text();
    await give(1, JobState.PENDING);
    const second = await give(2, JobState.CANCELED);
    while ((await second.next("event")).kind.case !== "stepStarted");
    expect(await metrics()).toContain('job="j1",attempt="2"');
    expect((await fetch(`${await promise}/readyz`)).status).toBe(200);
    stop.abort();
    await outcome;
    await expect(metrics()).rejects.toThrow("fetch failed");
  });

  test("goes on although a function of the program fails, which is not called again", async () => {
    let calls = 0;
    const outcome = agent("echo x; exit 1", {
      onOutput: () => {
        calls++;
        throw new Error("my bug");
      },
    });
    for (const [attempt, state] of [JobState.PENDING, JobState.PENDING, JobState.FAILED].entries()) {
      await give(attempt + 1, state);
    }
    await expect(outcome).rejects.toMatchObject({ code: "CALLBACK_FAILED", outcome: { attempt: 3 } });
    expect(calls).toBe(1);
  });
});

describe("an agent that is stopped", () => {
  test.each([
    ["by its machine", undefined, {}, FailureClass.PREEMPTED],
    ["by a person", ordered(), {}, FailureClass.ORDERED],
    ["by its machine, where a stop ends the job", undefined, { onStop: "end" }, FailureClass.ORDERED],
  ] as const)(
    "%s ends its attempt with that class, and does not go on itself",
    async (_, reason, options, expected) => {
      const outcome = agent("exec sleep 1000", { stop: stop.signal, ...options });
      const requeued = expected === FailureClass.PREEMPTED;
      const stream = await give(1, requeued ? JobState.PENDING : JobState.CANCELED);
      while ((await stream.next("event")).kind.case !== "stepStarted");
      stop.abort(reason);
      const ended = await outcome;
      expect(ended).toMatchObject({ attempt: 1, result: { reason: EndReason.AGENT_STOPPED, failureClass: expected } });
      expect(ended.next).toEqual(requeued ? { attempt: 2, of: 3, delay: 0 } : undefined);
    },
  );

  test("by its machine while the job waits leaves the job to another agent", async () => {
    const outcome = agent("exit 1", { stop: stop.signal });
    await give(1, JobState.PENDING);
    (await tracker.stream()).fail(status.UNAVAILABLE, "Attempt 2 may not start yet", waits);
    stop.abort();
    expect(await outcome).toMatchObject({ attempt: 1, next: { attempt: 2 }, result: { exitCode: 1 } });
  });

  test("by a person while the job waits ends the job: it takes the attempt, and starts nothing", async () => {
    const outcome = agent("exit 1", { stop: stop.signal });
    await give(1, JobState.PENDING);
    (await tracker.stream()).fail(status.UNAVAILABLE, "Attempt 2 may not start yet", waits);
    stop.abort(ordered());
    for (;;) {
      const stream = await tracker.stream();
      const { state } = await stream.next("hello");
      // One that was under way when the stop came.
      if (state === JobState.PENDING) {
        stream.fail(status.UNAVAILABLE, "Attempt 2 may not start yet", waits);
        continue;
      }
      expect(state).toBe(JobState.CANCELING);
      stream.welcome({ attempt: 2, features: [...FEATURES], retry });
      stream.behave({ jobState: JobState.CANCELED });
      expect(await outcome).toMatchObject({
        attempt: 2,
        result: { outcome: Outcome.CANCELED, reason: EndReason.AGENT_STOPPED, failureClass: FailureClass.ORDERED },
      });
      expect(resultOf(stream)?.step).toBe(0);
      expect(eventsOf(stream, "stepStarted")).toEqual([]);
      return;
    }
  });

  test("by a person while the job waits says so when the tracker does not let it end the job", async () => {
    const outcome = agent("exit 1", { stop: stop.signal, stopFlushTimeout: 200 });
    await give(1, JobState.PENDING);
    (await tracker.stream()).fail(status.UNAVAILABLE, "Attempt 2 may not start yet", waits);
    tracker.close();
    stop.abort(ordered());
    expect(await outcome).toMatchObject({
      attempt: 1,
      next: { attempt: 2 },
      notContinued: expect.stringContaining("the tracker did not answer in time"),
    });
  });

  test("by a person when the attempt has failed already ends the job that waits for the next one", async () => {
    const policy = create(RetryPolicySchema, { ...retry, delay: durationFromMs(3_600_000) });
    const outcome = agent("exit 1", { stop: stop.signal }, policy, 3_600_000);
    const stream = await tracker.stream();
    stream.welcome({ attempt: 1, features: [...FEATURES], retry: policy });
    while ((await stream.next("event")).kind.case !== "result");
    stop.abort(ordered());
    stream.behave({ jobState: JobState.PENDING });
    const second = await tracker.stream();
    expect((await second.next("hello")).state).toBe(JobState.CANCELING);
    second.welcome({ attempt: 2, features: [...FEATURES], retry: policy });
    second.behave({ jobState: JobState.CANCELED });
    expect(await outcome).toMatchObject({ attempt: 2, result: { failureClass: FailureClass.ORDERED, step: 0 } });
  });

  test('cannot insist on "requeue" without a second attempt', async () => {
    const policy = create(RetryPolicySchema, { maxAttempts: 1 });
    await expect(agent("true", { onStop: "requeue" }, policy)).rejects.toMatchObject({
      code: "BAD_USAGE",
      message: expect.stringContaining('"requeue" needs a retry policy in the spec'),
    });
  });
});

describe("a job that waits for its next attempt", () => {
  test("and is canceled meanwhile ends the agent, with a result that says so", async () => {
    const outcome = agent("exit 1");
    await give(1, JobState.PENDING);
    (await tracker.stream()).fail(status.UNAVAILABLE, "Attempt 2 may not start yet", waits);
    const canceled = { "belay-job-state": "CANCELED" };
    (await tracker.stream()).fail(status.FAILED_PRECONDITION, "Job has ended: it is CANCELED", canceled);
    const ended = await outcome;
    expect(ended).toMatchObject({
      attempt: 1,
      delivered: true,
      result: {
        outcome: Outcome.CANCELED,
        reason: EndReason.CANCELED,
        failureClass: FailureClass.ORDERED,
        message: "Canceled while it waited for attempt 2",
      },
    });
    expect(ended.next).toBeUndefined();
  });

  test("and that ended in another way meanwhile is an error of the agent", async () => {
    const outcome = agent("exit 1");
    await give(1, JobState.PENDING);
    const failed = { "belay-job-state": "FAILED" };
    (await tracker.stream()).fail(status.FAILED_PRECONDITION, "Job has ended: it is FAILED", failed);
    await expect(outcome).rejects.toMatchObject({
      code: "TRACKER_REFUSED",
      message: expect.stringContaining("Job has ended: it is FAILED"),
    });
  });

  test("keeps waiting when the tracker is away for too long, and the outcome says why the agent did not go on", async () => {
    const outcome = agent("exit 1", { connectTimeout: 500 });
    const stream = await give(1, JobState.PENDING);
    await stream.over;
    tracker.close();
    expect(await outcome).toMatchObject({
      attempt: 1,
      next: { attempt: 2 },
      notContinued: expect.stringMatching(/^No tracker answered at .* within 500ms/),
    });
  });
});

test("An attempt that could not be delivered is followed by another one if the policy says so, but not here", async () => {
  const outcome = agent("exit 1", { flushTimeout: 200 });
  const stream = await tracker.stream();
  stream.welcome({ attempt: 1, features: [...FEATURES], retry });
  while ((await stream.next("event")).kind.case !== "result");
  tracker.close();
  expect(await outcome).toMatchObject({ attempt: 1, delivered: false, next: { attempt: 2, of: 3 } });
});

test("An old tracker ends the job with its first attempt: job's log and caller are notified once of each thing that it cannot do", async () => {
  const progress: string[] = [];
  const warned: string[] = [];
  const outcome = agent("exit 1", {
    takeOver: true,
    onProgress: (line) => void progress.push(line),
    logger: { ...silentLogger, warn: (message) => void warned.push(message) },
  });
  const stream = await tracker.stream();
  stream.welcome({ attempt: 1, trackerVersion: "0.2" });
  stream.behave();
  expect((await outcome).next).toBeUndefined();
  const notices = [
    "This tracker (belay 0.2) does not know retry policies: the job ends with its first attempt",
    "This tracker (belay 0.2) does not know takeovers: if another agent had the job, its lease had to run out first",
  ];
  expect(agentLog(stream)).toBe(notices.map((notice) => `${notice}\n`).join(""));
  expect(warned).toEqual(notices);
  expect(progress.filter((line) => line.includes("belay 0.2"))).toEqual(notices);
});

test('A stop that cannot be followed by another attempt is announced where "requeue" was asked for', async () => {
  const outcome = agent("exit 1", { onStop: "requeue", stop: stop.signal });
  const stream = await give(3, JobState.FAILED);
  await outcome;
  expect(agentLog(stream)).toBe(
    'A stop of the agent will end the job, although "requeue" was asked for: no attempt may follow attempt 3\n',
  );
});

describe("an agent whose spool directory has what an earlier one of the job could not deliver", () => {
  /** An agent whose job succeeds while the tracker confirms nothing. */
  async function undelivered(): Promise<{ spoolDirectory: string; sessionId: string }> {
    const spoolDirectory = temporaryDirectory();
    const outcome = agent("true", { spoolDirectory, flushTimeout: 100 });
    const stream = await tracker.stream();
    const { sessionId } = await stream.next("hello");
    stream.welcome({ attempt: 1, features: [...FEATURES], retry });
    expect(await outcome).toMatchObject({ delivered: false, result: { outcome: Outcome.SUCCEEDED } });
    return { spoolDirectory, sessionId };
  }

  test("runs nothing if the job had succeeded: its outcome is that one's", async () => {
    const { spoolDirectory, sessionId } = await undelivered();
    const outcome = agent("exit 1", { spoolDirectory });
    const stream = await give(1, JobState.SUCCEEDED);
    expect((await stream.next("hello")).sessionId).toBe(sessionId);
    expect(await outcome).toMatchObject({
      attempt: 1,
      endedBefore: true,
      delivered: true,
      result: { outcome: Outcome.SUCCEEDED, exitCode: 0 },
    });
  });

  test("runs nothing if that cannot be delivered even now", async () => {
    const { spoolDirectory, sessionId } = await undelivered();
    const outcome = agent("exit 1", { spoolDirectory, connectTimeout: 300 });
    const stream = await tracker.stream();
    expect((await stream.next("hello")).sessionId).toBe(sessionId);
    stream.welcome({ attempt: 1, features: [...FEATURES], retry });
    await expect(outcome).rejects.toMatchObject({
      code: "TRACKER_UNREACHABLE",
      message: expect.stringMatching(
        /^Cannot deliver how attempt 1 of job "j1" ended, which ".+" holds: The tracker did/,
      ),
    });
  });

  test("runs the next attempt if the job waits for it", async () => {
    const { spoolDirectory } = await undelivered();
    const outcome = agent("true", { spoolDirectory });
    await give(1, JobState.PENDING);
    await give(2, JobState.SUCCEEDED);
    expect(await outcome).toMatchObject({ attempt: 2, result: { outcome: Outcome.SUCCEEDED } });
  });
});
