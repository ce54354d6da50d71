import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { AttemptSchema, JobSchema, JobState, Outcome } from "../../../src/gen/belay/v1/job_pb.ts";
import { EventSchema } from "../../../src/gen/belay/v1/tracker_service_pb.ts";
import { applyEvent } from "../../../src/tracker/jobs/apply-event.ts";
import { LiveJob } from "../../../src/tracker/jobs/live-job.ts";

test("A result that is kept does not keep the memory of the message that it came in", () => {
  const job = create(JobSchema, { jobId: "j", state: JobState.RUNNING });
  job.attempts.push(create(AttemptSchema, { attempt: 1, sessionId: "s" }));
  const resumeState = job.state;
  const live = new LiveJob({ key: 1, job, resumeState, events: new Map(), commands: [], traceNotes: "" });
  const value = { outcome: Outcome.FAILED, card: { tail: Buffer.from("Traceback\n") } };
  const encoded = toBinary(EventSchema, create(EventSchema, { sequence: 1n, kind: { case: "result", value } }));
  const message = Buffer.alloc(65_536);
  message.set(encoded);
  applyEvent(live, fromBinary(EventSchema, message.subarray(0, encoded.length)), 0, false);
  const { tail } = live.attempt?.result?.card ?? {};
  expect(Buffer.from(tail ?? []).toString()).toBe("Traceback\n");
  expect(tail?.buffer.byteLength).toBeLessThan(1000);
});
