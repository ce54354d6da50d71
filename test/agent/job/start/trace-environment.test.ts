import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { traceEnvironment } from "../../../../src/agent/job/start/trace-environment.ts";
import { JobSpecSchema } from "../../../../src/gen/belay/v1/job_pb.ts";

const submitter = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const attempt = "00-4bf92f3577b34da6a3ce929d0e0e4736-1111111111111111-01";
const elsewhere = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-1111111111111111-01";
const spec = create(JobSpecSchema, { command: ["true"], traceParent: submitter, traceState: "v=1" });
const bare = create(JobSpecSchema, { command: ["true"] });

describe("A job's place in a trace", () => {
  it("is the span that the tracker sends, with the submitter's state", () => {
    expect(traceEnvironment(attempt, spec)).toEqual({ TRACEPARENT: attempt, TRACESTATE: "v=1" });
    expect(traceEnvironment(attempt, bare)).toEqual({ TRACEPARENT: attempt });
  });

  it("is the submitter's if an older tracker sends nothing, or a value that is not a span", () => {
    expect(traceEnvironment("", spec)).toEqual({ TRACEPARENT: submitter, TRACESTATE: "v=1" });
    expect(traceEnvironment("00-\0", spec)).toEqual({ TRACEPARENT: submitter, TRACESTATE: "v=1" });
  });

  it("has no state of another trace, and none that cannot be passed on", () => {
    expect(traceEnvironment(elsewhere, spec)).toEqual({ TRACEPARENT: elsewhere });
    expect(traceEnvironment("", create(JobSpecSchema, { traceParent: submitter, traceState: "no state" }))).toEqual({
      TRACEPARENT: submitter,
    });
  });

  it("is empty if neither names a span", () => {
    expect(traceEnvironment("", bare)).toEqual({});
  });
});
