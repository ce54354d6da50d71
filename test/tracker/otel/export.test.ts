import type { MessageInitShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { runAgent } from "../../../src/agent/run.ts";
import { parseTraceParent } from "../../../src/base/trace-context.ts";
import { JobSpecSchema } from "../../../src/gen/belay/v1/job_pb.ts";
import { waitForJob } from "../../../src/testing/index.ts";
import { OtlpCollector } from "../../helpers/otlp-collector.ts";
import { testTracker } from "../../helpers/tracker.ts";

const submitter = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/** Runs a real job to its end, and waits until its span has arrived. */
async function exported(spec: MessageInitShape<typeof JobSpecSchema>, environment: Record<string, string> = {}) {
  const collector = await OtlpCollector.start();
  const { address, jobs } = await testTracker({ otlp: { endpoint: collector.endpoint } });
  let output = "";
  const outcome = await runAgent({
    tracker: address,
    jobId: "j1",
    spec: create(JobSpecSchema, spec),
    environment: { PATH: process.env["PATH"], ...environment },
    onOutput: (_, data) => void (output += Buffer.from(data).toString()),
  });
  const job = await collector.span(`job ${spec.name}`);
  return { collector, jobs, outcome, output, job };
}

describe("A job that has run", () => {
  it("is one trace: a span for the job, in it one for its attempt, and in that one for each step", async () => {
    const { collector, jobs, job, output } = await exported({
      name: "train",
      labels: { team: "ml" },
      setup: [{ name: "prepare", run: "true" }],
      command: ["sh", "-c", 'echo "$TRACEPARENT"'],
    });
    const attempt = await collector.span("attempt 1");
    const prepare = await collector.span("step prepare");
    const main = await collector.span("step train");
    expect(collector.spans).toHaveLength(4);
    expect(new Set(collector.spans.map(({ traceId }) => traceId))).toEqual(new Set([job.traceId]));
    const parents = [job, attempt, prepare, main].map(({ parentSpanId }) => parentSpanId);
    expect(parents).toEqual(["", job.spanId, attempt.spanId, attempt.spanId]);
    expect([job, attempt, prepare, main].map(({ code }) => code)).toEqual([1, 1, 1, 1]);
    expect(parseTraceParent(output.trim())).toEqual({ traceId: job.traceId, spanId: attempt.spanId, sampled: true });
    const { job: stored } = await jobs.getJob({ jobId: "j1" });
    expect(parseTraceParent(stored?.traceParent ?? "")).toMatchObject({ traceId: job.traceId, spanId: job.spanId });
    expect(Number(job.start / 1_000_000n)).toBe(Math.floor(timestampMs(stored?.createTime ?? never())));
    expect(Math.abs(Number(job.end / 1_000_000n) - timestampMs(stored?.endTime ?? never()))).toBeLessThanOrEqual(1);
    for (const span of collector.spans) expect(span.end).toBeGreaterThanOrEqual(span.start);
    expect(main.start).toBeGreaterThanOrEqual(prepare.end);
    expect(job.events).toMatchObject([{ name: "belay.assigned", attributes: { "belay.attempt": 1 } }]);
    expect(job.resource).toMatchObject({ "service.name": "belay" });
    expect(job.attributes).toMatchObject({
      "belay.job.id": "j1",
      "belay.job.label.team": "ml",
      "belay.job.state": "SUCCEEDED",
      "cicd.pipeline.result": "success",
    });
    expect(main.attributes).toMatchObject({
      "process.executable.name": "sh",
      "process.command_args": ["sh", "-c", 'echo "$TRACEPARENT"'],
      "process.exit.code": 0,
      "belay.step": 2,
    });
  });

  it("and failed has the failure on each span concerned", async () => {
    const { collector, job } = await exported({
      name: "broken",
      setup: [{ name: "prepare", run: "exit 3" }],
      command: ["true"],
    });
    expect(job).toMatchObject({
      code: 2,
      attributes: { "error.type": "SETUP_FAILED", "cicd.pipeline.result": "failure" },
    });
    expect(job.message).toMatch(/^SETUP_FAILED: /);
    expect(await collector.span("attempt 1")).toMatchObject({ code: 2, message: job.message });
    expect(await collector.span("step prepare")).toMatchObject({
      code: 2,
      message: "Exited with code 3",
      attributes: { "process.exit.code": 3, "cicd.pipeline.task.run.result": "failure" },
    });
    expect(collector.spans).toHaveLength(3);
  });

  it("continues the submitter's trace", async () => {
    const { job, output } = await exported({
      name: "child",
      command: ["sh", "-c", 'echo "$TRACEPARENT $TRACESTATE"'],
      traceParent: submitter,
      traceState: "vendor=1",
    });
    expect(job).toMatchObject({
      traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
      parentSpanId: "00f067aa0ba902b7",
      traceState: "vendor=1",
    });
    expect(output).toMatch(/^00-4bf92f3577b34da6a3ce929d0e0e4736-[0-9a-f]{16}-01 vendor=1\n$/);
  });

  it("is exported without secrets of its environment and its arguments", async () => {
    const secret = "hunter2-hunter2-hunter2";
    const { collector } = await exported({
      name: "secret",
      command: ["sh", "-c", "true", secret],
      environment: { MY_PASSWORD: secret, HARMLESS: "harmless-value" },
    });
    await collector.span("attempt 1");
    const all = JSON.stringify(collector.spans, (_, value: unknown) =>
      typeof value === "bigint" ? String(value) : value,
    );
    expect(all).toContain('"process.command_args"');
    expect(all).not.toContain(secret);
    expect(all).not.toContain("harmless-value");
  });
});

describe("A trace that is not recorded", () => {
  it("has no spans, and its job's environment has the flag for that", async () => {
    const collector = await OtlpCollector.start();
    const { address } = await testTracker({ otlp: { endpoint: collector.endpoint } });
    const run = async (jobId: string, traceParent: string) => {
      let output = "";
      const spec = create(JobSpecSchema, { name: jobId, command: ["sh", "-c", 'echo "$TRACEPARENT"'], traceParent });
      await runAgent({
        tracker: address,
        jobId,
        spec,
        onOutput: (_, data) => void (output += Buffer.from(data).toString()),
      });
      return output.trim();
    };
    expect(await run("unseen", submitter.replace(/1$/, "0"))).toMatch(/^00-4bf92f3577b34da6a3ce929d0e0e4736-.*-00$/);
    await run("seen", "");
    await collector.span("job seen");
    expect(collector.spans.map(({ attributes }) => attributes["belay.job.id"])).not.toContain("unseen");
  });
});

describe("A job that a command ends", () => {
  it("shows the command, and has neither failed nor succeeded", async () => {
    const collector = await OtlpCollector.start();
    const { address, jobs } = await testTracker({ otlp: { endpoint: collector.endpoint } });
    const spec = create(JobSpecSchema, { name: "long", command: ["sleep", "600"] });
    await jobs.createJob({ jobId: "j1", spec });
    const done = runAgent({ tracker: address, jobId: "j1" });
    await waitForJob(jobs, "j1", ({ step }) => step === 1);
    await jobs.cancelJob({ jobId: "j1", reason: "no longer wanted" });
    await done;
    const job = await collector.span("job long");
    expect(job).toMatchObject({ code: 0, attributes: { "cicd.pipeline.result": "cancellation" } });
    const attempt = await collector.span("attempt 1");
    const names = attempt.events.map(({ name, attributes }) => [name, attributes["belay.command.state"]]);
    expect(names).toContainEqual(["belay.command", "QUEUED"]);
    expect(names).toContainEqual(["belay.canceling", undefined]);
    expect(attempt.events[0]?.attributes).toMatchObject({
      "belay.command.kind": "CANCEL",
      "belay.command.reason": "no longer wanted",
    });
  });

  it("before an agent had it is one span", async () => {
    const collector = await OtlpCollector.start();
    const { jobs } = await testTracker({ otlp: { endpoint: collector.endpoint } });
    await jobs.createJob({ jobId: "j1", spec: { name: "never", command: ["true"] } });
    await jobs.cancelJob({ jobId: "j1" });
    await jobs.deleteJob({ jobId: "j1" });
    expect(await collector.span("job never")).toMatchObject({ code: 0, attributes: { "belay.job.attempts": 0 } });
    expect(collector.spans).toHaveLength(1);
  });
});

function never(): never {
  throw new Error("Absent");
}
