import { describe, expect, it } from "vitest";
import { parseTraceParent } from "../../../src/base/trace-context.ts";
import { spanBelow } from "../../../src/tracker/jobs/trace.ts";
import { ScriptedAgent, waitForState } from "../../../src/testing/index.ts";
import { someSpec, testTracker } from "../../helpers/tracker.ts";

const submitter = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

function read(text: string | undefined) {
  const parent = parseTraceParent(text ?? "");
  if (parent === undefined) throw new Error(`No traceparent: "${text}"`);
  return parent;
}

describe("A job's trace", () => {
  it("is the submitter's, and its span is a new one", async () => {
    const { jobs } = await testTracker();
    const { job } = await jobs.createJob({ jobId: "a", spec: { ...someSpec, traceParent: submitter } });
    expect(read(job?.traceParent)).toMatchObject({ traceId: read(submitter).traceId, sampled: true });
    expect(read(job?.traceParent).spanId).not.toBe(read(submitter).spanId);
  });

  it("is not recorded if the submitter's is not", async () => {
    const { jobs } = await testTracker();
    const { job } = await jobs.createJob({
      jobId: "a",
      spec: { ...someSpec, traceParent: submitter.replace(/1$/, "0") },
    });
    expect(read(job?.traceParent).sampled).toBe(false);
  });

  it("is another one for another job, one of the same id included", async () => {
    const { jobs } = await testTracker();
    const traces = new Set<string>();
    for (let i = 0; i < 3; i++) {
      const { job } = await jobs.createJob({ jobId: "a", spec: someSpec });
      traces.add(read(job?.traceParent).traceId);
      await jobs.cancelJob({ jobId: "a" });
      await jobs.deleteJob({ jobId: "a" });
    }
    expect(traces.size).toBe(3);
  });

  it("stays the first one's when a call is repeated from another span", async () => {
    const { jobs } = await testTracker();
    const other = submitter.replace("00f0", "11f1");
    await jobs.createJob({ jobId: "a", spec: { ...someSpec, traceParent: submitter } });
    const { job } = await jobs.createJob({ jobId: "a", spec: { ...someSpec, traceParent: other, traceState: "v=1" } });
    expect(job?.spec).toMatchObject({ traceParent: submitter, traceState: "" });
    await expect(jobs.createJob({ jobId: "a", spec: { ...someSpec, name: "other" } })).rejects.toThrow("another spec");
  });

  it("is the same in the next attempt, and after a restart", async () => {
    const first = await testTracker({ heartbeatInterval: 50, lease: 100 });
    const agent = ScriptedAgent.connect({ url: first.address, jobId: "a" });
    const welcome = await agent.hello({ spec: someSpec });
    const attempt = read(welcome.traceParent);
    agent.vanish();
    const lost = await waitForState(first.jobs, "a", "LOST");
    expect(attempt).toEqual(spanBelow(read(lost.traceParent), 1));
    await first.tracker.close();
    const again = await testTracker({ dataDirectory: first.dataDirectory, heartbeatInterval: 50, lease: 100 });
    const returned = ScriptedAgent.connect({ url: again.address, jobId: "a", sessionId: agent.sessionId });
    expect((await returned.hello({ attempt: 1 })).traceParent).toBe(welcome.traceParent);
    returned.vanish();
    await waitForState(again.jobs, "a", "LOST");
    const second = await ScriptedAgent.connect({ url: again.address, jobId: "a" }).hello();
    expect(second.attempt).toBe(2);
    expect(read(second.traceParent)).toEqual(spanBelow(read(lost.traceParent), 2));
    expect(read(second.traceParent).traceId).toBe(attempt.traceId);
  });

  it("must be a valid traceparent", async () => {
    const { jobs } = await testTracker();
    await expect(jobs.createJob({ spec: { ...someSpec, traceParent: "x" } })).rejects.toThrow('spec.trace_parent "x"');
    await expect(
      jobs.createJob({ spec: { ...someSpec, traceParent: submitter, traceState: "no state" } }),
    ).rejects.toThrow("spec.trace_state");
  });
});

describe("A job under a tracker that exports no spans", () => {
  it("runs under its submitter's span, since its own span is not exported", async () => {
    const { address } = await testTracker();
    const agent = ScriptedAgent.connect({ url: address, jobId: "a" });
    expect((await agent.hello({ spec: { ...someSpec, traceParent: submitter } })).traceParent).toBe(submitter);
  });
});
