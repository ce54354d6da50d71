import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { parseTraceParent } from "../../../src/base/trace-context.ts";
import { systemClock } from "../../../src/base/clock.ts";
import {
  EndReason,
  FailureClass,
  JobResultSchema,
  JobSchema,
  JobState,
  Outcome,
} from "../../../src/gen/belay/v1/job_pb.ts";
import { EventSchema } from "../../../src/gen/belay/v1/tracker_service_pb.ts";
import { LiveJob } from "../../../src/tracker/jobs/live-job.ts";
import type { SpanRecord } from "../../../src/tracker/otel/span-record.ts";
import { SpanRecorder } from "../../../src/tracker/otel/span-recorder.ts";
import type { TrackerOptions } from "../../../src/tracker/options.ts";
import { ScriptedAgent, waitForState } from "../../../src/testing/index.ts";
import { OtlpCollector } from "../../helpers/otlp-collector.ts";
import { someSpec, testTracker } from "../../helpers/tracker.ts";

const quick = { heartbeatInterval: 150, lease: 400 };

async function exporting(options: Partial<TrackerOptions> = {}) {
  const collector = await OtlpCollector.start();
  return { collector, ...(await testTracker({ ...options, otlp: { endpoint: collector.endpoint } })) };
}

/** A step of a scripted agent has started. */
function startStep(agent: ScriptedAgent, name: string, step = 1): void {
  agent.event({ case: "stepStarted", value: { step, name, argv: ["true"], pid: 7, main: true } });
}

describe("An attempt that did not succeed", () => {
  it("has its failure class beside the reason, as its job has", async () => {
    const { collector, address } = await exporting();
    const agent = ScriptedAgent.connect({ url: address, jobId: "a" });
    await agent.hello({ spec: someSpec });
    const failureClass = FailureClass.PREEMPTED;
    agent.result({ outcome: Outcome.CANCELED, reason: EndReason.AGENT_STOPPED, failureClass });
    const wanted = { "belay.job.reason": "AGENT_STOPPED", "belay.job.failure_class": "PREEMPTED" };
    expect((await collector.span("attempt 1")).attributes).toMatchObject(wanted);
    expect((await collector.span("job some")).attributes).toMatchObject(wanted);
  });
});

describe("A job whose agent is lost", () => {
  it("and comes back shows both on its attempt, which goes on", async () => {
    const { collector, address, jobs } = await exporting(quick);
    const agent = ScriptedAgent.connect({ url: address, jobId: "a" });
    await agent.hello({ spec: someSpec });
    agent.state("RUNNING");
    await agent.next("ack");
    agent.vanish();
    await waitForState(jobs, "a", "LOST");
    const returned = ScriptedAgent.connect({ url: address, jobId: "a", sessionId: agent.sessionId });
    await returned.hello({ attempt: 1, state: JobState.RUNNING });
    returned.result();
    const attempt = await collector.span("attempt 1");
    expect(attempt.events.map(({ name }) => name)).toEqual(["belay.lost", "belay.back"]);
    expect(attempt.code).toBe(1);
    await collector.span("job some");
    expect(collector.spans).toHaveLength(2);
  });

  it("and superseded has a second attempt that links to the first, in the same trace", async () => {
    const { collector, address, jobs } = await exporting(quick);
    const first = ScriptedAgent.connect({ url: address, jobId: "a" });
    const given = parseTraceParent((await first.hello({ spec: someSpec })).traceParent);
    startStep(first, "work");
    await first.next("ack");
    first.vanish();
    await waitForState(jobs, "a", "LOST");
    const second = ScriptedAgent.connect({ url: address, jobId: "a" });
    const taken = parseTraceParent((await second.hello()).traceParent);
    startStep(second, "work");
    second.event({ case: "stepEnded", value: { step: 1, exitCode: 0 } });
    second.result();
    const job = await collector.span("job some");
    const [one, two] = [await collector.span("attempt 1"), await collector.span("attempt 2")];
    expect([one.spanId, two.spanId]).toEqual([given?.spanId, taken?.spanId]);
    expect(new Set(collector.spans.map(({ traceId }) => traceId)).size).toBe(1);
    expect([one.parentSpanId, two.parentSpanId]).toEqual([job.spanId, job.spanId]);
    expect(two.links).toMatchObject([{ traceId: one.traceId, spanId: one.spanId }]);
    expect(one).toMatchObject({
      code: 2,
      message: expect.stringMatching(/^AGENT_LOST: No message from the agent .*attempt 2 has the job$/) as unknown,
    });
    expect(one.events.map(({ name }) => name)).toEqual(["belay.lost", "belay.superseded"]);
    expect(job.events.map(({ attributes }) => attributes["belay.attempt"])).toEqual([1, 2]);
    const steps = collector.spans.filter(({ name }) => name === "step work");
    expect(steps.map(({ parentSpanId, code }) => [parentSpanId, code])).toEqual([
      [one.spanId, 2],
      [two.spanId, 1],
    ]);
    expect(new Set(collector.spans.map(({ spanId }) => spanId)).size).toBe(5);
  });

  it("for too long has an attempt with AGENT_LOST, and waits for the next one if its policy allows that", async () => {
    const { collector, address, jobs } = await exporting({ ...quick, lostTimeout: 100 });
    const first = ScriptedAgent.connect({ url: address, jobId: "a" });
    await first.hello({ spec: { ...someSpec, retry: { maxAttempts: 2 } } });
    startStep(first, "work");
    await first.next("ack");
    first.vanish();
    await waitForState(jobs, "a", "PENDING");
    const second = ScriptedAgent.connect({ url: address, jobId: "a" });
    await second.hello();
    second.result();
    const job = await collector.span("job some");
    const one = await collector.span("attempt 1");
    expect(one).toMatchObject({
      code: 2,
      message: expect.stringMatching(/^AGENT_LOST: No message from the agent/) as unknown,
      attributes: { "belay.job.reason": "AGENT_LOST", "belay.job.failure_class": "INFRASTRUCTURE" },
    });
    expect(one.events.map(({ name }) => name)).toEqual(["belay.lost"]);
    expect(job.events.map(({ name }) => name)).toEqual(["belay.assigned", "belay.pending", "belay.assigned"]);
    expect(job.code).toBe(1);
  });

  it("for ever has an attempt with the result that the next agent found in its spool", async () => {
    const { collector, address } = await exporting();
    const dead = ScriptedAgent.connect({ url: address, jobId: "a" });
    await dead.hello({ spec: someSpec });
    startStep(dead, "work");
    await dead.next("ack");
    dead.vanish();
    const finder = ScriptedAgent.connect({ url: address, jobId: "a", sessionId: dead.sessionId });
    await finder.hello({ attempt: 1, nextAttemptFollows: true });
    finder.result({ outcome: Outcome.FAILED, reason: EndReason.AGENT_LOST, message: "The agent died" });
    const attempt = await collector.span("attempt 1");
    expect(attempt).toMatchObject({ code: 2, message: "AGENT_LOST: The agent died" });
    expect(await collector.span("step work")).toMatchObject({ code: 2, parentSpanId: attempt.spanId });
    const next = ScriptedAgent.connect({ url: address, jobId: "a" });
    await next.hello();
    next.result();
    expect(await collector.span("job some")).toMatchObject({ code: 1 });
    expect((await collector.span("attempt 2")).links).toMatchObject([{ spanId: attempt.spanId }]);
  });
});

describe("A span", () => {
  it("shows when the job was paused and resumed; beyond a bound, such moments are only counted", async () => {
    const { collector, address } = await exporting();
    const agent = ScriptedAgent.connect({ url: address, jobId: "a" });
    await agent.hello({ spec: someSpec });
    for (let i = 0; i < 40; i++) {
      agent.state("PAUSED");
      agent.state("RUNNING");
    }
    agent.result();
    const { events, ...attempt } = await collector.span("attempt 1");
    expect(events.slice(0, 3).map(({ name }) => name)).toEqual(["belay.paused", "belay.resumed", "belay.paused"]);
    expect(events).toHaveLength(64);
    expect(attempt).toMatchObject({ droppedEvents: 16 });
  });

  it("does not end before it starts, however the clocks differ", async () => {
    const { collector, address } = await exporting();
    const agent = ScriptedAgent.connect({ url: address, jobId: "a" });
    await agent.hello({ spec: someSpec });
    agent.result({ endTime: timestampFromMs(1000) });
    const job = await collector.span("job some");
    expect(job.end).toBe(job.start);
  });

  it("is made once, even when the result is sent again", async () => {
    const { collector, address } = await exporting();
    const agent = ScriptedAgent.connect({ url: address, jobId: "a" });
    await agent.hello({ spec: someSpec });
    agent.result();
    await agent.next("receipt");
    agent.result({ outcome: Outcome.FAILED });
    await agent.next("ack");
    const other = ScriptedAgent.connect({ url: address, jobId: "b" });
    await other.hello({ spec: { name: "other", command: ["true"] } });
    other.result();
    await collector.span("job other");
    expect(collector.spans.filter(({ attributes }) => attributes["belay.job.id"] === "a")).toHaveLength(2);
  });

  it("is the same when the change that ended it could not be stored and is sent again", () => {
    const traceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const stored = (traceNotes: string, state: JobState): LiveJob => {
      const job = create(JobSchema, { jobId: "a", spec: someSpec, state, traceParent, attempts: [{ attempt: 1 }] });
      return new LiveJob({ key: 1, job, resumeState: state, events: new Map(), commands: [], traceNotes });
    };
    const recorder = new SpanRecorder(systemClock);
    const kind = { case: "stepStarted" as const, value: { step: 1, name: "work" } };
    const started = { attempt: 1, event: create(EventSchema, { kind }) };
    const { notes = "" } = recorder.record(stored("", JobState.RUNNING), { event: started }) ?? {};
    expect(notes).toContain("work");
    const ids = () => {
      const live = stored(notes, JobState.RUNNING);
      recorder.adopt(live);
      live.job.state = JobState.SUCCEEDED;
      const result = create(JobResultSchema, { outcome: Outcome.SUCCEEDED, step: 1, exitCode: 0 });
      Object.assign(live.job, { result }).attempts[0]!.result = result;
      const change = recorder.record(live, {});
      expect(change?.notes).toBe("");
      expect(recorder.record(live, {})).toBeUndefined();
      return change?.ended.map((text) => (JSON.parse(text) as SpanRecord).span.spanId);
    };
    const first = ids();
    expect(new Set(first).size).toBe(3);
    expect(ids()).toEqual(first);
  });

  it("of a job that ran before there was an endpoint starts when the job did", async () => {
    const collector = await OtlpCollector.start();
    const before = await testTracker();
    const agent = ScriptedAgent.connect({ url: before.address, jobId: "a" });
    await agent.hello({ spec: someSpec });
    await before.tracker.close();
    const { dataDirectory } = before;
    const { address, jobs } = await testTracker({ dataDirectory, otlp: { endpoint: collector.endpoint } });
    const returned = ScriptedAgent.connect({ url: address, jobId: "a", sessionId: agent.sessionId });
    await returned.hello({ attempt: 1 });
    returned.result();
    const job = await collector.span("job some");
    const { job: stored } = await jobs.getJob({ jobId: "a" });
    expect(job.start / 1_000_000_000n).toBe(stored?.createTime?.seconds);
    expect(await collector.span("attempt 1")).toMatchObject({ parentSpanId: job.spanId });
  });
});
