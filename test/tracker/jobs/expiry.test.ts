import { Code } from "@connectrpc/connect";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import {
  CommandState,
  EndReason,
  FailureClass,
  JobState,
  LogCompleteness,
  Outcome,
} from "../../../src/gen/belay/v1/job_pb.ts";
import { GoodbyeReason } from "../../../src/gen/belay/v1/tracker_service_pb.ts";
import { ScriptedAgent, waitForState } from "../../../src/testing/index.ts";
import { metricsOf } from "../../helpers/metrics-page.ts";
import { someSpec, testTracker } from "../../helpers/tracker.ts";

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

  test("is no longer its agent's, which is told so, and no other agent's", async () => {
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
