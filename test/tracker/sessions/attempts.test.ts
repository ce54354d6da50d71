import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { durationFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import {
  CommandState,
  EndReason,
  FailureClass,
  Feature,
  JobState,
  LogCompleteness,
  Outcome,
} from "../../../src/gen/belay/v1/job_pb.ts";
import { GoodbyeReason, HelloSchema, TrackerService } from "../../../src/gen/belay/v1/tracker_service_pb.ts";
import { silentLogger } from "../../../src/base/logger.ts";
import { FEATURES } from "../../../src/contract/features.ts";
import { JOB_STATE_TRAILER, RETRY_DELAY_TRAILER } from "../../../src/contract/trailers.ts";
import { ScriptedAgent, waitForState } from "../../../src/testing/index.ts";
import { someSpec, testTracker } from "../../helpers/tracker.ts";

const { JOB, PREEMPTED, INFRASTRUCTURE, ORDERED } = FailureClass;
const retried = { ...someSpec, retry: { maxAttempts: 3, on: [JOB, PREEMPTED, INFRASTRUCTURE] } };
const failed = { outcome: Outcome.FAILED, reason: EndReason.EXITED, exitCode: 1, message: "It exited with code 1" };
/** An agent that is stopped, as its result says. */
const stopped = { outcome: Outcome.CANCELED, reason: EndReason.AGENT_STOPPED, message: "The agent was stopped" };

/** An agent of the job "j", which may have taken it. */
function agentAt(address: string, sessionId?: string): ScriptedAgent {
  return ScriptedAgent.connect({ url: address, jobId: "j", ...(sessionId === undefined ? {} : { sessionId }) });
}

/** A job whose first attempt has ended, and waits for the second. */
async function waiting(address: string, spec: object = retried): Promise<ScriptedAgent> {
  const agent = agentAt(address);
  await agent.hello({ spec: { ...someSpec, ...spec } });
  agent.result(failed);
  await agent.next("receipt");
  return agent;
}

/** All answers of a call, once it has ended. */
async function collect<T>(answers: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const answer of answers) all.push(answer);
  return all;
}

/** The error with which a Hello for the job "j" is refused, trailers included. */
async function refusal(address: string): Promise<ConnectError> {
  const client = createClient(TrackerService, createGrpcTransport({ baseUrl: address }));
  const hello = { case: "hello" as const, value: create(HelloSchema, { jobId: "j", sessionId: "other" }) };
  const call = client.openSession(
    (async function* () {
      yield { payload: hello };
    })(),
  );
  const error: unknown = await call[Symbol.asyncIterator]()
    .next()
    .catch((failure: unknown) => failure);
  return ConnectError.from(error);
}

describe("An attempt that ends with a class that the retry policy names", () => {
  test("leaves the job PENDING, with the reason, and any agent takes the next one, until none is left", async () => {
    const { address, jobs } = await testTracker();
    const first = agentAt(address);
    const welcome = await first.hello({ spec: retried });
    expect(welcome.retry).toMatchObject({ maxAttempts: 3 });
    expect(welcome.features).toEqual(FEATURES);
    first.state("RUNNING");
    first.print("of the first\n");
    first.result(failed);
    expect(await first.next("receipt")).toMatchObject({
      jobState: JobState.PENDING,
      logCompleteness: LogCompleteness.COMPLETE,
    });
    const { job } = await jobs.getJob({ jobId: "j" });
    expect(job).toMatchObject({
      state: JobState.PENDING,
      step: 0,
      pendingReason: "Attempt 1 ended with EXITED (JOB): It exited with code 1; attempt 2 of 3 follows",
      attempts: [{ result: { failureClass: JOB, exitCode: 1 }, superseded: false }],
    });
    expect([job?.result, job?.endTime, job?.pendingFrom]).toEqual([undefined, undefined, undefined]);
    const wait = timestampMs(job?.pendingUntil ?? ({ seconds: 0n, nanos: 0 } as never)) - Date.now();
    expect(wait / 3_600_000).toBeCloseTo(24, 1);

    const second = agentAt(address);
    expect(await second.hello({ spec: retried })).toMatchObject({ attempt: 2, committed: { events: 0n, logs: 0n } });
    expect((await jobs.getJob({ jobId: "j" })).job).toMatchObject({
      state: JobState.SETTING_UP,
      pendingReason: "",
      attempts: [{ superseded: true, result: { exitCode: 1 } }, { superseded: false }],
    });
    second.result(stopped);
    await second.next("receipt");
    const third = agentAt(address);
    expect((await third.hello()).attempt).toBe(3);
    third.result(failed);
    expect((await third.next("receipt")).jobState).toBe(JobState.FAILED);
    expect((await jobs.getJob({ jobId: "j" })).job).toMatchObject({
      state: JobState.FAILED,
      result: { failureClass: JOB },
      attempts: [
        { result: { failureClass: JOB } },
        { result: { failureClass: PREEMPTED } },
        { result: { failureClass: JOB } },
      ],
    });
  });

  test.each([
    ["succeeded, whatever class its agent names", { failureClass: INFRASTRUCTURE }, JobState.SUCCEEDED],
    ["was canceled", { outcome: Outcome.CANCELED, reason: EndReason.CANCELED }, JobState.CANCELED],
    ["was stopped by an order, as only its agent knows", { ...stopped, failureClass: ORDERED }, JobState.CANCELED],
    ["has a reason from a newer contract", { outcome: Outcome.FAILED, reason: 99 as EndReason }, JobState.FAILED],
  ])("does not if it %s: the job has ended", async (_, result, state) => {
    const { address, jobs } = await testTracker();
    const agent = agentAt(address);
    await agent.hello({ spec: retried });
    agent.result(result);
    expect((await agent.next("receipt")).jobState).toBe(state);
    expect((await jobs.getJob({ jobId: "j" })).job?.state).toBe(state);
  });

  test("gives the next one its own commands: those of before are closed, and nothing is ordered meanwhile", async () => {
    const { address, jobs } = await testTracker();
    const agent = agentAt(address);
    await agent.hello({ spec: retried });
    agent.state("RUNNING");
    await agent.acked(1n, 0n);
    await jobs.pauseJob({ jobId: "j", commandId: "pause" });
    await agent.next("command");
    agent.result(failed);
    await agent.next("receipt");
    const { job } = await jobs.getJob({ jobId: "j" });
    expect(job?.commands).toMatchObject([{ state: CommandState.REJECTED, message: "The attempt has ended" }]);
    await expect(jobs.signalJob({ jobId: "j", signal: "SIGUSR1" })).rejects.toMatchObject({
      rawMessage: 'No process of job "j" runs: it is PENDING',
    });
    const { message } = await jobs.getJobStatus({ jobId: "j" });
    expect(message).toBe("No agent has the job: it waits for attempt 2");
    expect((await agentAt(address).hello()).commands).toEqual([]);
  });

  test("ends the job if a cancel was under way: its caller waits for the end", async () => {
    const { address, jobs } = await testTracker();
    const agent = agentAt(address);
    await agent.hello({ spec: retried });
    await jobs.cancelJob({ jobId: "j", commandId: "c", reason: "enough" });
    agent.result(stopped);
    expect((await agent.next("receipt")).jobState).toBe(JobState.CANCELED);
    expect((await jobs.getJob({ jobId: "j" })).job).toMatchObject({
      state: JobState.CANCELED,
      result: { failureClass: ORDERED, message: "Canceled while it waited for attempt 2: enough" },
      attempts: [{ result: { reason: EndReason.AGENT_STOPPED, failureClass: PREEMPTED } }],
      commands: [{ commandId: "c", state: CommandState.COMPLETED }],
    });
  });
});

describe("A job that waits for its next attempt", () => {
  test("is UNAVAILABLE until the delay is over, for a takeover too, with the time until then", async () => {
    const { address, jobs } = await testTracker();
    const spec = { retry: { ...retried.retry, delay: durationFromMs(60_000), wait: durationFromMs(0) } };
    const first = await waiting(address, spec);
    const { job } = await jobs.getJob({ jobId: "j" });
    expect(timestampMs(job?.pendingFrom ?? ({} as never)) - Date.now()).toBeGreaterThan(50_000);
    expect(job?.pendingUntil).toBeUndefined();
    for (const takeOver of [false, true]) {
      const early = agentAt(address);
      early.sayHello({ takeOver });
      const { code, details } = await early.ended;
      expect([code, details]).toEqual([
        Code.Unavailable,
        expect.stringMatching(/^Attempt 2 of job "j" may start in (1m|5\d\.\ds)$/),
      ]);
    }
    expect(Number((await refusal(address)).metadata.get(RETRY_DELAY_TRAILER)) / 1000).toBeCloseTo(60, -1);
    const own = agentAt(address, first.sessionId);
    expect((await own.hello({ attempt: 1 })).attempt).toBe(1);
    expect((await own.next("receipt")).pendingFrom).toEqual(job?.pendingFrom);
  });

  test("may be asked for again and again: the tracker's log notes that as a detail, other refusals as warnings", async () => {
    const noted: [string, string][] = [];
    const note =
      (level: string) =>
      (message: string): void =>
        void noted.push([level, message]);
    const logger = { ...silentLogger, debug: note("debug"), warn: note("warn") };
    const { address, jobs } = await testTracker({ logger: { ...logger, child: () => logger } });
    await waiting(address, { retry: { ...retried.retry, delay: durationFromMs(60_000) } });
    const refused = async (): Promise<unknown> => {
      const agent = agentAt(address);
      agent.sayHello();
      await agent.ended;
      return noted.findLast(([, message]) => message === "Session refused");
    };
    expect(await refused()).toEqual(["debug", "Session refused"]);
    await jobs.cancelJob({ jobId: "j" });
    expect(await refused()).toEqual(["warn", "Session refused"]);
  });

  test("goes before the delay is over to an agent that was ordered to end it, and starts nothing", async () => {
    const { address, jobs } = await testTracker();
    await waiting(address, { retry: { ...retried.retry, delay: durationFromMs(60_000) } });
    const agent = agentAt(address);
    expect((await agent.hello({ state: JobState.CANCELING })).attempt).toBe(2);
    expect((await jobs.getJob({ jobId: "j" })).job?.state).toBe(JobState.CANCELING);
    agent.result({ ...stopped, failureClass: ORDERED });
    expect((await agent.next("receipt")).jobState).toBe(JobState.CANCELED);
  });

  test("is CANCELED at once by a cancel; the earlier attempt keeps its result", async () => {
    const { address, jobs } = await testTracker();
    await waiting(address);
    const { job, command } = await jobs.cancelJob({ jobId: "j", reason: "not needed" });
    expect(command).toBeUndefined();
    expect(job).toMatchObject({
      state: JobState.CANCELED,
      pendingReason: "",
      result: {
        outcome: Outcome.CANCELED,
        reason: EndReason.CANCELED,
        failureClass: ORDERED,
        message: "Canceled while it waited for attempt 2: not needed",
      },
      attempts: [{ result: { outcome: Outcome.FAILED, exitCode: 1 } }],
    });
    expect(job?.endTime).toBeDefined();
    const late = agentAt(address);
    late.sayHello();
    expect(await late.ended).toEqual({ code: Code.FailedPrecondition, details: 'Job "j" has ended: it is CANCELED' });
    expect((await refusal(address)).metadata.get(JOB_STATE_TRAILER)).toBe("CANCELED");
    await jobs.deleteJob({ jobId: "j" });
  });

  test("is ALREADY_EXISTS while the log of the attempt before still arrives, unless it is taken over", async () => {
    const { address, jobs } = await testTracker();
    const first = agentAt(address);
    await first.hello({ spec: retried });
    first.print("early\n");
    first.result({ ...failed, streams: [{ stream: 1, bytes: 11n, crc32: 0x6e5f2b0e }] });
    await first.acked(1n, 1n);
    const early = agentAt(address);
    early.sayHello();
    const { code, details } = await early.ended;
    expect(code).toBe(Code.AlreadyExists);
    expect(details).toMatch(/^Attempt 2 of job "j" has to wait: the log of attempt 1 still arrives, for another \d/);
    first.vanish();
    const back = agentAt(address, first.sessionId).follow(first);
    expect((await back.hello({ attempt: 1, state: JobState.RUNNING })).attempt).toBe(1);
    expect((await jobs.getJob({ jobId: "j" })).job?.state).toBe(JobState.PENDING);
    const next = agentAt(address);
    expect((await next.hello({ takeOver: true })).attempt).toBe(2);
    expect((await back.next("goodbye")).reason).toBe(GoodbyeReason.SUPERSEDED);
    expect((await jobs.getJob({ jobId: "j" })).job?.attempts[0]).toMatchObject({
      superseded: true,
      result: { exitCode: 1 },
      logCompleteness: LogCompleteness.INCOMPLETE,
      logMessage: "stdout: 6 of 11 bytes are stored",
    });
  });

  test("ends the calls that follow its latest attempt: nothing more comes from that one", async () => {
    const { address, jobs } = await testTracker();
    const agent = agentAt(address);
    await agent.hello({ spec: retried });
    const logs = collect(jobs.readLogs({ jobId: "j", follow: true }));
    const metrics = collect(jobs.readMetrics({ jobId: "j", follow: true }));
    agent.print("all of it\n");
    agent.event({ case: "metricSample", value: { memoryBytes: 7n } });
    agent.result(failed);
    await agent.next("receipt");
    const data = new TextEncoder().encode("all of it\n");
    expect((await logs).flatMap(({ chunks }) => chunks)).toMatchObject([{ content: { value: data } }]);
    expect((await metrics).flatMap(({ samples }) => samples)).toMatchObject([{ memoryBytes: 7n }]);
    expect((await jobs.getJob({ jobId: "j" })).job?.state).toBe(JobState.PENDING);
  });

  test("goes to the next agent when the rest of the log does not come within the lease", async () => {
    const { address, jobs } = await testTracker({ heartbeatInterval: 100, lease: 300 });
    const first = agentAt(address);
    await first.hello({ spec: retried });
    first.result({ ...failed, streams: [{ stream: 1, bytes: 11n, crc32: 1 }] });
    await first.acked(1n, 0n);
    first.vanish();
    const watch = jobs.watchJob({ jobId: "j" });
    for await (const { job } of watch) {
      if (job?.attempts[0]?.logCompleteness === LogCompleteness.INCOMPLETE) break;
    }
    expect((await agentAt(address).hello()).attempt).toBe(2);
  });
});

describe("A session that takes over", () => {
  test("has the job at once; the agent before gets Goodbye, and its attempt a result", async () => {
    const { address, jobs } = await testTracker();
    const spec = { ...someSpec, after: [{ name: "clean", run: "rm -r work" }] };
    const first = agentAt(address);
    await first.hello({ spec, agent: { hostname: "worker-7" } });
    first.state("RUNNING");
    first.print("of the first\n");
    await first.acked(1n, 1n);
    await jobs.cancelJob({ jobId: "j", commandId: "c" });
    const second = agentAt(address);
    const welcome = await second.hello({ takeOver: true, features: [...FEATURES] });
    expect(welcome.attempt).toBe(2);
    expect(welcome.commands).toMatchObject([{ commandId: "c" }]);
    expect(await first.next("goodbye")).toMatchObject({
      reason: GoodbyeReason.SUPERSEDED,
      message: "Attempt 2 has the job",
    });
    const { job } = await jobs.getJob({ jobId: "j" });
    expect(job).toMatchObject({
      state: JobState.SETTING_UP,
      attempts: [
        {
          superseded: true,
          logCompleteness: LogCompleteness.INCOMPLETE,
          stored: [{ bytes: 13n }],
          result: {
            outcome: Outcome.FAILED,
            reason: EndReason.AGENT_LOST,
            failureClass: INFRASTRUCTURE,
            message: expect.stringMatching(
              /^Attempt 2 has taken over\. No message from the agent on worker-7 for \d+/,
            ) as unknown,
            after: [{ name: "clean", step: 0, notRun: "The agent was lost" }],
          },
        },
        { attempt: 2 },
      ],
    });
    const back = agentAt(address, first.sessionId);
    back.sayHello({ attempt: 1, takeOver: true });
    expect(await back.ended).toEqual({
      code: Code.FailedPrecondition,
      details: 'Attempt 1 of job "j" was superseded by attempt 2',
    });
  });

  test("is admitted beyond the policy's attempts, and nothing follows it", async () => {
    const { address } = await testTracker();
    const spec = { ...someSpec, retry: { maxAttempts: 1, on: [JOB] } };
    await agentAt(address).hello({ spec });
    const second = agentAt(address);
    expect((await second.hello({ spec, takeOver: true })).attempt).toBe(2);
    second.result(failed);
    expect((await second.next("receipt")).jobState).toBe(JobState.FAILED);
  });
});

describe("The retry policy", () => {
  test("is the one with which the job was created: an agent may leave it out or repeat it, but not change it", async () => {
    const { address, jobs } = await testTracker();
    await jobs.createJob({ jobId: "j", spec: { ...someSpec, retry: { maxAttempts: 3 } } });
    const other = agentAt(address);
    other.sayHello({ spec: { ...someSpec, retry: { maxAttempts: 5 } } });
    expect(await other.ended).toEqual({
      code: Code.InvalidArgument,
      details: 'Bad spec: spec.retry differs from the policy with which job "j" was created (max_attempts 3, found 5)',
    });
    const silent = agentAt(address);
    expect((await silent.hello({ spec: someSpec })).retry).toMatchObject({ maxAttempts: 3 });
    expect((await jobs.getJob({ jobId: "j" })).job?.spec?.retry).toMatchObject({ maxAttempts: 3 });
    silent.result(stopped);
    expect((await silent.next("receipt")).jobState).toBe(JobState.PENDING);
    const same = agentAt(address);
    await same.hello({ spec: { ...someSpec, retry: { maxAttempts: 3, on: [INFRASTRUCTURE, PREEMPTED] } } });
  });
});

describe("A job whose spec an agent cannot run whole", () => {
  test("is refused to it, and stays for a newer one", async () => {
    const { address, jobs } = await testTracker();
    const spec = { ...someSpec, after: [{ run: "true" }] };
    await jobs.createJob({ jobId: "j", spec });
    const old = agentAt(address);
    old.sayHello({ agent: { version: "0.3.0" }, features: [Feature.ATTEMPTS] });
    expect(await old.ended).toEqual({
      code: Code.FailedPrecondition,
      details: 'Job "j" needs an agent that knows "after" (the agent is belay 0.3.0): update it',
    });
    expect((await jobs.getJob({ jobId: "j" })).job).toMatchObject({ state: JobState.PENDING, attempts: [] });
    await agentAt(address).hello({ features: [...FEATURES] });
  });
});

describe("A dead agent's spool that the next agent delivers", () => {
  test("ends the job if it holds a result that does: what has succeeded must not run again", async () => {
    const { address, jobs } = await testTracker();
    const agent = agentAt(address);
    await agent.hello({ spec: someSpec, nextAttemptFollows: true });
    agent.result();
    expect((await agent.next("receipt")).jobState).toBe(JobState.SUCCEEDED);
    const next = agentAt(address);
    next.sayHello();
    expect(await next.ended).toMatchObject({ code: Code.FailedPrecondition });
    expect((await jobs.getJob({ jobId: "j" })).job?.attempts).toHaveLength(1);
  });

  test("leaves the job LOST for the next agent if the agent was lost, where no policy says more", async () => {
    const { address, jobs } = await testTracker();
    const agent = agentAt(address);
    await agent.hello({ spec: someSpec, nextAttemptFollows: true });
    agent.result({ outcome: Outcome.FAILED, reason: EndReason.AGENT_LOST });
    expect((await agent.next("receipt")).jobState).toBe(JobState.LOST);
    expect((await agentAt(address).hello()).attempt).toBe(2);
    expect((await jobs.getJob({ jobId: "j" })).job?.attempts[0]?.result).toMatchObject({
      reason: EndReason.AGENT_LOST,
      failureClass: INFRASTRUCTURE,
      message: "",
    });
  });

  test("leaves a job that a cancel ends at once: no process of it is left", async () => {
    const { address, jobs } = await testTracker();
    const agent = agentAt(address);
    await agent.hello({ spec: someSpec, nextAttemptFollows: true });
    await jobs.pauseJob({ jobId: "j" });
    agent.result({ outcome: Outcome.FAILED, reason: EndReason.AGENT_LOST });
    await agent.next("receipt");
    await expect(jobs.signalJob({ jobId: "j", signal: "SIGUSR1" })).rejects.toMatchObject({
      code: Code.FailedPrecondition,
    });
    const { job, command } = await jobs.cancelJob({ jobId: "j" });
    expect(command).toBeUndefined();
    expect(job).toMatchObject({
      state: JobState.CANCELED,
      result: { failureClass: ORDERED, message: "Canceled while it waited for attempt 2" },
      attempts: [{ result: { reason: EndReason.AGENT_LOST } }],
      commands: [{ state: CommandState.REJECTED }],
    });
  });

  test("is the end of a job that was being canceled", async () => {
    const { address, jobs } = await testTracker();
    const agent = agentAt(address);
    await agent.hello({ spec: someSpec, nextAttemptFollows: true });
    await jobs.cancelJob({ jobId: "j" });
    agent.result({ outcome: Outcome.FAILED, reason: EndReason.AGENT_LOST });
    expect((await agent.next("receipt")).jobState).toBe(JobState.CANCELED);
    expect((await jobs.getJob({ jobId: "j" })).job?.commands).toMatchObject([{ state: CommandState.COMPLETED }]);
  });

  test("leaves the job PENDING where a policy allows another attempt", async () => {
    const { address, jobs } = await testTracker();
    const agent = agentAt(address);
    await agent.hello({ spec: retried, nextAttemptFollows: true });
    agent.result({ outcome: Outcome.FAILED, reason: EndReason.AGENT_LOST });
    expect((await agent.next("receipt")).jobState).toBe(JobState.PENDING);
    await waitForState(jobs, "j", "PENDING");
  });
});

describe("The steps after the end of a result that does not name them", () => {
  const after = [{ name: "upload", run: "true" }, { run: "rm -r scratch\n:" }];
  const lost = { outcome: Outcome.FAILED, reason: EndReason.AGENT_LOST };

  test.each([
    ["did not run, if the agent died while it ran the command", 1, lost, "The agent died"],
    ["may have run, if it died later", 2, lost, "The agent died before it could report on this step"],
    ["are unknown, if an agent reports nothing of them", 1, {}, "The agent did not report on this step"],
  ] as const)("%s", async (_, step, result, notRun) => {
    const { address, jobs } = await testTracker();
    const agent = agentAt(address);
    await agent.hello({ spec: { ...someSpec, after } });
    agent.event({ case: "stepStarted", value: { step } });
    agent.result(result);
    await agent.next("receipt");
    expect((await jobs.getJob({ jobId: "j" })).job?.result?.after).toMatchObject([
      { name: "upload", notRun, step: 0 },
      { name: "rm -r scratch", notRun, step: 0 },
    ]);
  });

  test("stay as the agent reports them", async () => {
    const { address, jobs } = await testTracker();
    const agent = agentAt(address);
    await agent.hello({ spec: { ...someSpec, after } });
    agent.result({ after: [{ name: "upload", step: 2, exitCode: 0 }, { notRun: "No time" }] });
    await agent.next("receipt");
    expect((await jobs.getJob({ jobId: "j" })).job?.result?.after).toMatchObject([{ step: 2 }, { notRun: "No time" }]);
  });
});
