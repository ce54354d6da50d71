import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { FailureClass, RetryPolicySchema } from "../../../src/gen/belay/v1/job_pb.ts";
import { policyDifference } from "../../../src/tracker/jobs/retry-policy.ts";

const { JOB, PREEMPTED, INFRASTRUCTURE } = FailureClass;
const hour = durationFromMs(3_600_000);

describe("Two retry policies", () => {
  test.each([
    ["that say nothing", {}, {}],
    ["one of which writes out the defaults", {}, { maxAttempts: 1, delay: durationFromMs(0), maxDelay: hour }],
    ["that name the classes in another order", { on: [JOB, PREEMPTED] }, { on: [PREEMPTED, JOB, JOB] }],
    ["one of which names the default classes", {}, { on: [INFRASTRUCTURE, PREEMPTED] }],
    ["one of which names the default wait", {}, { wait: durationFromMs(86_400_000) }],
  ])("%s are the same", (_, stored, found) => {
    expect(policyDifference(create(RetryPolicySchema, stored), create(RetryPolicySchema, found))).toBeUndefined();
    expect(policyDifference(create(RetryPolicySchema, found), create(RetryPolicySchema, stored))).toBeUndefined();
  });

  test.each([
    ["max_attempts 3, found 5", { maxAttempts: 3 }, { maxAttempts: 5 }],
    ["on JOB, found INFRASTRUCTURE, PREEMPTED", { on: [JOB] }, {}],
    ["delay 0 s, found 0.5 s", {}, { delay: durationFromMs(500) }],
    ["max_delay 3600 s, found 60 s", {}, { maxDelay: durationFromMs(60_000) }],
    ["wait 86400 s, found 0 s", {}, { wait: durationFromMs(0) }],
  ])("differ by %s", (difference, stored, found) => {
    expect(policyDifference(create(RetryPolicySchema, stored), create(RetryPolicySchema, found))).toBe(difference);
  });
});
