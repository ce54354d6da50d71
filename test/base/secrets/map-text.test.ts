import { create, toJson } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { mapText } from "../../../src/base/secrets/map-text.ts";
import { JobSchema } from "../../../src/gen/belay/v1/job_pb.ts";
import { EventSchema, OpenSessionRequestSchema } from "../../../src/gen/belay/v1/tracker_service_pb.ts";

const upper = (text: string): string => text.toUpperCase();

test("every text of a message is mapped: in lists, maps, their keys, messages and choices; ids stay", () => {
  const job = create(JobSchema, {
    jobId: "id",
    traceParent: "trace",
    spec: { name: "n", labels: { key: "value" }, command: ["a", "b"], setup: [{ run: "r" }] },
    attempts: [{ sessionId: "s", agent: { hostname: "h", labels: { x: "y" } } }],
    commands: [{ commandId: "c", reason: "why" }],
  });
  expect(toJson(JobSchema, mapText(JobSchema, job, upper))).toEqual({
    jobId: "id",
    traceParent: "trace",
    spec: { name: "N", labels: { KEY: "VALUE" }, command: ["A", "B"], setup: [{ run: "R" }] },
    attempts: [{ sessionId: "s", agent: { hostname: "H", labels: { X: "Y" } } }],
    commands: [{ commandId: "c", reason: "WHY" }],
  });
  const request = create(OpenSessionRequestSchema, {
    payload: { case: "event", value: create(EventSchema, { kind: { case: "stepStarted", value: { argv: ["a"] } } }) },
  });
  expect(toJson(OpenSessionRequestSchema, mapText(OpenSessionRequestSchema, request, upper))).toEqual({
    event: { stepStarted: { argv: ["A"] } },
  });
});

test("the original message does not change, and is returned if no text in it changes", () => {
  const job = create(JobSchema, { spec: { command: ["a"] }, commands: [{ reason: "B" }] });
  const mapped = mapText(JobSchema, job, upper);
  expect(job.spec?.command).toEqual(["a"]);
  expect(mapped.commands).toBe(job.commands);
  expect(mapText(JobSchema, mapped, upper)).toBe(mapped);
});
