import { Code } from "@connectrpc/connect";
import { durationFromMs, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import {
  CommandState,
  EndReason,
  FailureClass,
  JobState,
  LogCompleteness,
  Outcome,
} from "../../../../src/gen/belay/v1/job_pb.ts";
import { GoodbyeReason } from "../../../../src/gen/belay/v1/tracker_service_pb.ts";
import { ScriptedAgent, waitForJob, waitForState } from "../../../../src/testing/index.ts";
import { metricsOf } from "../../../helpers/metrics-page.ts";
import { someSpec, testTracker } from "../../../helpers/tracker.ts";

const quick = { heartbeatInterval: 100, lease: 300, lostTimeout: 200 };

describe("A job that no agent takes", () => {
  test("is FAILED with NO_AGENT after its pending_timeout, and no agent can have it then", async () => {
    const { address, jobs } = await testTracker();
    const { job: made } = await jobs.createJob({
      jobId: "j",
      spec: { ...someSpec, pendingTimeout: durationFromMs(150) },
    });
    expect(made?.pendingUntil).toBeDefined();
    const job = await waitForState(jobs, "j", "FAILED");
    expect(job.result).toMatchObject({
      outcome: Outcome.FAILED,
      reason: EndReason.NO_AGENT,
      failureClass: FailureClass.INFRASTRUCTURE,
      message: "No agent took the job within 150ms",
    });
    expect(job).toMatchObject({ attempts: [], endTime: job.result?.endTime });
    expect(job.pendingUntil).toBeUndefined();
    const late = ScriptedAgent.connect({ url: address, jobId: "j" });
    await expect(late.hello()).rejects.toMatchObject({
      code: Code.FailedPrecondition,
      details: 'Job "j" has ended: it is FAILED',
    });
  });

  test("waits on if an agent has taken it in time", async () => {
    const { address, jobs } = await testTracker();
    await jobs.createJob({ jobId: "j", spec: { ...someSpec, pendingTimeout: durationFromMs(300) } });
    await jobs.createJob({ jobId: "other", spec: { ...someSpec, pendingTimeout: durationFromMs(400) } });
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello();
    await waitForState(jobs, "other", "FAILED");
    const { job } = await jobs.getJob({ jobId: "j" });
    expect(job).toMatchObject({ state: JobState.SETTING_UP });
    expect(job?.pendingUntil).toBeUndefined();
    agent.vanish();
  });
});

describe("A job that is LOST for too long", () => {
  test("is FAILED with AGENT_LOST, its log is not complete, and what was ordered is closed", async () => {
    const { address, jobs } = await testTracker(quick);
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec, agent: { hostname: "worker-7" } });
    agent.state("RUNNING");
    agent.print("before\n");
    await agent.acked(1n, 1n);
    agent.vanish();
    const lost = await waitForState(jobs, "j", "LOST");
    expect(lost.lostUntil).toBeDefined();
    await jobs.pauseJob({ jobId: "j", commandId: "pause" });
    const job = await waitForState(jobs, "j", "FAILED");
    const wanted = {
      outcome: Outcome.FAILED,
      reason: EndReason.AGENT_LOST,
      failureClass: FailureClass.INFRASTRUCTURE,
      message: expect.stringMatching(/^No message from the agent on worker-7 for (\d{3}ms|1\.\ds)$/) as unknown,
    };
    expect(job.result).toMatchObject(wanted);
    expect(job.lostUntil).toBeUndefined();
    expect(job.endTime).toBeDefined();
    expect(job.attempts).toMatchObject([
      {
        superseded: true,
        result: wanted,
        stored: [{ bytes: 7n }],
        logCompleteness: LogCompleteness.INCOMPLETE,
        logMessage: "the agent was lost: it is not known how much the job printed",
      },
    ]);
    expect(job.commands).toMatchObject([{ state: CommandState.REJECTED, message: "The job has ended" }]);
    expect(await metricsOf(address)).toMatchObject({ 'belay_attempts_ended_total{class="infrastructure"}': 1 });
    await jobs.deleteJob({ jobId: "j" });
  });

  test("is refused to its agent, with the reason, and to any other agent", async () => {
    const { address, jobs } = await testTracker(quick);
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    agent.vanish();
    await waitForState(jobs, "j", "FAILED");
    const back = ScriptedAgent.connect({ url: address, jobId: "j", sessionId: agent.sessionId });
    await expect(back.hello({ attempt: 1, state: JobState.RUNNING })).rejects.toMatchObject({
      code: Code.FailedPrecondition,
      details: 'Attempt 1 of job "j" was LOST for too long: the job has ended, it is FAILED',
    });
    const other = ScriptedAgent.connect({ url: address, jobId: "j" });
    await expect(other.hello()).rejects.toMatchObject({ code: Code.FailedPrecondition });
  });

  test("says Goodbye on a stream that is open and silent", async () => {
    // A stream ends by itself after three silent intervals, which are longer here than lease and time-out together.
    const { address, jobs } = await testTracker({ heartbeatInterval: 200, lease: 400, lostTimeout: 50 });
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    expect(await agent.next("goodbye")).toMatchObject({
      reason: GoodbyeReason.SUPERSEDED,
      message: "Attempt 1 was LOST for too long",
    });
    await waitForState(jobs, "j", "FAILED");
  });

  test("ends as its dead agent's spool says, where the next agent did not come", async () => {
    const { address, jobs } = await testTracker(quick);
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec, nextAttemptFollows: true });
    const message = "The agent died";
    agent.result({ outcome: Outcome.FAILED, reason: EndReason.AGENT_LOST, message, streams: [] });
    await agent.next("receipt");
    agent.vanish();
    const job = await waitForState(jobs, "j", "FAILED");
    expect(job.result).toMatchObject({ reason: EndReason.AGENT_LOST, message });
    expect(job.attempts[0]?.logCompleteness).toBe(LogCompleteness.COMPLETE);
  });

  test("stays LOST where spec or tracker say so, and is its agent's when that is back", async () => {
    const { address, jobs } = await testTracker(quick);
    const spec = { ...someSpec, lostTimeout: durationFromMs(0) };
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec });
    const shorter = ScriptedAgent.connect({ url: address, jobId: "shorter" });
    await shorter.hello({ spec: someSpec });
    for (const one of [agent, shorter]) one.vanish();
    await waitForState(jobs, "j", "LOST");
    await waitForState(jobs, "shorter", "FAILED");
    expect((await jobs.getJob({ jobId: "j" })).job).toMatchObject({ state: JobState.LOST });
    const back = ScriptedAgent.connect({ url: address, jobId: "j", sessionId: agent.sessionId });
    await back.hello({ attempt: 1, state: JobState.RUNNING });
    expect((await jobs.getJob({ jobId: "j" })).job).toMatchObject({ state: JobState.RUNNING });
    back.vanish();
  });
});

describe("A job with a retry policy", () => {
  const retry = { maxAttempts: 2, delay: durationFromMs(50), wait: durationFromMs(10_000) };

  test("waits for its next attempt when it was LOST for too long; the old session stays fenced", async () => {
    const { address, jobs } = await testTracker(quick);
    const first = ScriptedAgent.connect({ url: address, jobId: "j" });
    await first.hello({ spec: { ...someSpec, retry }, agent: { hostname: "worker-7" } });
    first.state("RUNNING");
    await first.acked(1n, 0n);
    first.vanish();
    const job = await waitForJob(jobs, "j", ({ state, attempts }) => state === JobState.PENDING && attempts.length > 0);
    expect(job.result).toBeUndefined();
    expect(job.lostUntil).toBeUndefined();
    expect(job.pendingReason).toMatch(
      /^Attempt 1 ended with AGENT_LOST \(INFRASTRUCTURE\): No message from the agent on worker-7 for .*attempt 2 of 2/,
    );
    expect(timestampMs(job.pendingUntil ?? timestampFromMs(0))).toBe(
      timestampMs(job.pendingFrom ?? timestampFromMs(0)) + 10_000,
    );
    expect(job.attempts).toMatchObject([
      { superseded: true, result: { reason: EndReason.AGENT_LOST, failureClass: FailureClass.INFRASTRUCTURE } },
    ]);
    expect(await metricsOf(address)).toMatchObject({
      belay_jobs_between_attempts: 1,
      'belay_attempts_ended_total{class="infrastructure"}': 1,
    });
    const back = ScriptedAgent.connect({ url: address, jobId: "j", sessionId: first.sessionId });
    await expect(back.hello({ attempt: 1, state: JobState.RUNNING })).rejects.toMatchObject({
      code: Code.FailedPrecondition,
      details: 'Attempt 1 of job "j" was LOST for too long: the job waits for another agent',
    });
    const second = await joined(address, "j");
    expect(second.welcome.attempt).toBe(2);
    second.result();
    await second.next("receipt");
    const ended = await waitForState(jobs, "j", "SUCCEEDED");
    expect(ended).toMatchObject({ result: { outcome: Outcome.SUCCEEDED }, pendingReason: "" });
    expect(ended.pendingUntil).toBeUndefined();
    await expect(
      ScriptedAgent.connect({ url: address, jobId: "j", sessionId: first.sessionId }).hello({ attempt: 1 }),
    ).rejects.toMatchObject({ details: 'Attempt 1 of job "j" was superseded by attempt 2' });
  });

  test("has FAILED with its last attempt that was LOST for too long", async () => {
    const { address, jobs } = await testTracker(quick);
    const spec = { ...someSpec, retry: { maxAttempts: 2 } };
    for (const attempt of [1, 2]) {
      const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
      expect((await agent.hello({ spec })).attempt).toBe(attempt);
      agent.vanish();
      await waitForState(jobs, "j", attempt === 1 ? "PENDING" : "FAILED");
    }
    const { job } = await jobs.getJob({ jobId: "j" });
    expect(job?.attempts.map(({ result }) => result?.reason)).toEqual([EndReason.AGENT_LOST, EndReason.AGENT_LOST]);
    expect(job?.result).toEqual(job?.attempts[1]?.result);
  });

  test("is FAILED with NO_AGENT when no agent takes the next attempt in time; the attempt keeps its own result", async () => {
    const { address, jobs } = await testTracker();
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: { ...someSpec, retry: { maxAttempts: 3, wait: durationFromMs(150) } } });
    agent.result({
      outcome: Outcome.CANCELED,
      reason: EndReason.AGENT_STOPPED,
      failureClass: FailureClass.PREEMPTED,
      message: "The agent was stopped",
    });
    await agent.next("receipt");
    agent.vanish();
    const job = await waitForState(jobs, "j", "FAILED");
    expect(job.result).toMatchObject({
      outcome: Outcome.FAILED,
      reason: EndReason.NO_AGENT,
      failureClass: FailureClass.INFRASTRUCTURE,
      message: "No agent took attempt 2 of the job within 150ms",
    });
    expect(job.attempts).toMatchObject([
      { result: { reason: EndReason.AGENT_STOPPED, failureClass: FailureClass.PREEMPTED } },
    ]);
    expect(job.pendingUntil).toBeUndefined();
  });

  test("does not wait for another attempt when it was LOST for too long after a cancel", async () => {
    const { address, jobs } = await testTracker(quick);
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: { ...someSpec, retry } });
    agent.vanish();
    await waitForState(jobs, "j", "LOST");
    await jobs.cancelJob({ jobId: "j", reason: "enough" });
    const job = await waitForState(jobs, "j", ["CANCELED", "FAILED"]);
    expect(job.state).toBe(JobState.CANCELED);
    expect(job.result).toMatchObject({ outcome: Outcome.CANCELED, failureClass: FailureClass.ORDERED });
    expect(job.attempts).toMatchObject([{ result: { reason: EndReason.AGENT_LOST } }]);
    expect(job.commands).toMatchObject([{ state: CommandState.COMPLETED }]);
  });

  test("keeps its time to wait across a restart of the tracker", async () => {
    const before = await testTracker(quick);
    const agent = ScriptedAgent.connect({ url: before.address, jobId: "j" });
    await agent.hello({ spec: { ...someSpec, retry: { maxAttempts: 2, wait: durationFromMs(100) } } });
    agent.vanish();
    await waitForState(before.jobs, "j", "PENDING");
    await before.tracker.close();
    const { jobs } = await testTracker({ ...quick, dataDirectory: before.dataDirectory });
    const { job } = await jobs.getJob({ jobId: "j" });
    expect(job?.state).toBe(JobState.PENDING);
    expect(job?.pendingReason).toMatch(/^Attempt 1 ended with AGENT_LOST/);
    expect((await waitForState(jobs, "j", "FAILED")).result?.reason).toBe(EndReason.NO_AGENT);
  });
});

/** An agent that has the job's next attempt, which may not start at once. */
async function joined(url: string, jobId: string): Promise<ScriptedAgent> {
  for (;;) {
    const agent = ScriptedAgent.connect({ url, jobId });
    const refusal = await agent.hello().then(
      () => undefined,
      (error: unknown) => error as { readonly code: Code; readonly details: string },
    );
    if (refusal === undefined) return agent;
    expect(refusal).toMatchObject({
      code: Code.Unavailable,
      details: expect.stringMatching(/may start in/) as unknown,
    });
  }
}
