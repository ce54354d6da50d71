import { Code } from "@connectrpc/connect";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { EndReason, type Job, JobState, LogCompleteness, Outcome } from "../../../src/gen/belay/v1/job_pb.ts";
import { GoodbyeReason } from "../../../src/gen/belay/v1/tracker_service_pb.ts";
import { readLog, ScriptedAgent, waitForJob, waitForState } from "../../../src/testing/index.ts";
import { someSpec, type TestTracker, testTracker } from "../../helpers/tracker.ts";

const quick = { heartbeatInterval: 100, lease: 300, lostTimeout: 100 };
const { COMPLETE, INCOMPLETE, UNSPECIFIED } = LogCompleteness;
const UNKNOWN = "the agent was lost: it is not known how much the job printed";
const delivery = { attempt: 1, state: JobState.RUNNING, deliversOnly: true };

/** An agent that printed a line and was silent for too long. Its job may have another attempt, or has FAILED. */
async function lostAgent({ address, jobs }: TestTracker, maxAttempts: 1 | 2): Promise<ScriptedAgent> {
  const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
  const retry = { maxAttempts, delay: durationFromMs(0) };
  await agent.hello({ spec: { ...someSpec, retry } });
  agent.state("RUNNING");
  agent.print("delivered\n");
  await agent.acked(1n, 1n);
  agent.vanish();
  await waitForState(jobs, "j", maxAttempts === 1 ? "FAILED" : "PENDING");
  return agent;
}

/** A session that delivers what that agent left. */
async function deliveryOf({ address }: TestTracker, lost: ScriptedAgent): Promise<ScriptedAgent> {
  const session = ScriptedAgent.connect({ url: address, jobId: "j", sessionId: lost.sessionId }).follow(lost);
  expect(await session.hello(delivery)).toMatchObject({ attempt: 1, committed: { events: 1n, logs: 1n } });
  return session;
}

describe("What a dead agent left of a job that was LOST for too long", () => {
  test("is added to the log and metrics of its attempt; the attempt's result and the job stay as they are", async () => {
    const tracker = await testTracker(quick);
    const { address, jobs } = tracker;
    const lost = await lostAgent(tracker, 1);
    const { job: before } = await jobs.getJob({ jobId: "j" });
    const session = await deliveryOf(tracker, lost);
    expect((await jobs.getJob({ jobId: "j" })).job?.attempts).toMatchObject([{ logCompleteness: UNSPECIFIED }]);
    session.event({ case: "metricSample", value: { step: 7 } });
    // As from an agent: the lane of events comes first.
    session.countDelivered(["delivered\n", "left\n"]);
    session.result();
    session.follow(lost).print("left\n");
    const receipt = await session.next("receipt");
    expect(receipt).toMatchObject({ jobState: JobState.FAILED, logCompleteness: COMPLETE, message: "" });
    expect(await readLog(jobs, "j")).toBe("delivered\nleft\n");
    const { job } = await jobs.getJob({ jobId: "j" });
    expect(job).toMatchObject({ state: JobState.FAILED, result: before?.result, endTime: before?.endTime });
    const { reason, outcome, message, streams } = job?.attempts[0]?.result ?? {};
    expect({ reason, outcome, message }).toEqual({
      reason: EndReason.AGENT_LOST,
      outcome: Outcome.FAILED,
      message: before?.result?.message,
    });
    expect(streams).toMatchObject([{ bytes: 15n }]);
    expect(job?.attempts).toMatchObject([{ superseded: true, logCompleteness: COMPLETE, metrics: { step: 7 } }]);
    // The same session in a process that may still run the job.
    const alive = ScriptedAgent.connect({ url: address, jobId: "j", sessionId: lost.sessionId });
    await expect(alive.hello({ ...delivery, deliversOnly: false })).rejects.toMatchObject({
      code: Code.FailedPrecondition,
      details: 'Attempt 1 of job "j" was LOST for too long: the job has ended, it is FAILED',
    });
  });

  test("has the next attempt wait until its log is decided, and is refused once there is one", async () => {
    const tracker = await testTracker(quick);
    const { address, jobs } = tracker;
    const lost = await lostAgent(tracker, 2);
    const session = await deliveryOf(tracker, lost);
    const early = ScriptedAgent.connect({ url: address, jobId: "j" });
    await expect(early.hello()).rejects.toMatchObject({
      code: Code.AlreadyExists,
      details: expect.stringContaining("the log of attempt 1 still arrives") as unknown,
    });
    session.print("left\n");
    session.result();
    expect(await session.next("receipt")).toMatchObject({ jobState: JobState.PENDING, logCompleteness: COMPLETE });
    expect((await jobs.getJob({ jobId: "j" })).job).toMatchObject({
      state: JobState.PENDING,
      attempts: [{ result: { reason: EndReason.AGENT_LOST } }],
    });
    const next = ScriptedAgent.connect({ url: address, jobId: "j" });
    expect((await next.hello()).attempt).toBe(2);
    const late = ScriptedAgent.connect({ url: address, jobId: "j", sessionId: lost.sessionId });
    await expect(late.hello(delivery)).rejects.toMatchObject({
      code: Code.FailedPrecondition,
      details: 'Attempt 1 of job "j" was superseded by attempt 2',
    });
    next.vanish();
  });

  test("is cut off by a takeover", async () => {
    const tracker = await testTracker(quick);
    const { address, jobs } = tracker;
    const session = await deliveryOf(tracker, await lostAgent(tracker, 2));
    session.print("left\n");
    await session.acked(1n, 2n);
    const next = ScriptedAgent.connect({ url: address, jobId: "j" });
    expect((await next.hello({ takeOver: true })).attempt).toBe(2);
    expect(await session.next("goodbye")).toMatchObject({ reason: GoodbyeReason.SUPERSEDED });
    const { job } = await jobs.getJob({ jobId: "j" });
    expect(job?.attempts[0]).toMatchObject({ logCompleteness: INCOMPLETE, logMessage: UNKNOWN });
    expect(await readLog(jobs, "j", { attempt: 1, follow: false })).toBe("delivered\nleft\n");
    next.vanish();
  });

  test("and is never delivered to its end is decided when the lease has passed, also by a tracker that starts then", async () => {
    const before = await testTracker(quick);
    const lost = await lostAgent(before, 2);
    const session = await deliveryOf(before, lost);
    session.print("left\n");
    await session.acked(1n, 2n);
    await before.tracker.close();
    const after = await testTracker({ ...quick, dataDirectory: before.dataDirectory });
    const decided = ({ attempts }: Job): boolean => attempts[0]?.logCompleteness === INCOMPLETE;
    expect((await waitForJob(after.jobs, "j", decided)).attempts[0]?.logMessage).toBe(UNKNOWN);
    // What is left can still be delivered then.
    const again = ScriptedAgent.connect({ url: after.address, jobId: "j", sessionId: lost.sessionId }).follow(session);
    expect(await again.hello(delivery)).toMatchObject({ committed: { events: 1n, logs: 2n } });
    again.result();
    expect(await again.next("receipt")).toMatchObject({ logCompleteness: COMPLETE });
    expect(await readLog(after.jobs, "j", { follow: false })).toBe("delivered\nleft\n");
  });

  test("of a job that was deleted does not become an attempt of another job with its id", async () => {
    const { address, jobs } = await testTracker();
    await jobs.createJob({ jobId: "j", spec: someSpec });
    const session = ScriptedAgent.connect({ url: address, jobId: "j" });
    await expect(session.hello(delivery)).rejects.toMatchObject({
      code: Code.FailedPrecondition,
      details: `Job "j" has no attempt of session ${session.sessionId}: what that session left belongs to another job`,
    });
    expect((await jobs.getJob({ jobId: "j" })).job).toMatchObject({ state: JobState.PENDING, attempts: [] });
  });
});
