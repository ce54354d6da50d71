import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { isRetried, retryDelay, retryWait } from "../../src/contract/retry.ts";
import { FailureClass, RetryPolicySchema } from "../../src/gen/belay/v1/job_pb.ts";

const { JOB, PREEMPTED, INFRASTRUCTURE, ORDERED, UNSPECIFIED } = FailureClass;

describe("whether an attempt is followed by another one", () => {
  it.each([
    ["no policy", undefined, 1, PREEMPTED, false],
    ["a policy that allows one attempt", {}, 1, PREEMPTED, false],
    ["a preemption, by default", { maxAttempts: 2 }, 1, PREEMPTED, true],
    ["a lost agent, by default", { maxAttempts: 2 }, 1, INFRASTRUCTURE, true],
    ["the job's own failure, by default", { maxAttempts: 2 }, 1, JOB, false],
    ["the job's own failure, where the policy names it", { maxAttempts: 2, on: [JOB] }, 1, JOB, true],
    ["a preemption, where the policy names others", { maxAttempts: 2, on: [JOB] }, 1, PREEMPTED, false],
    ["the last attempt", { maxAttempts: 2 }, 2, PREEMPTED, false],
    ["an attempt beyond the last, as after a takeover", { maxAttempts: 2 }, 3, PREEMPTED, false],
    ["an order, even where the policy names it", { maxAttempts: 2, on: [ORDERED] }, 1, ORDERED, false],
    ["a success", { maxAttempts: 2 }, 1, UNSPECIFIED, false],
  ] as const)("%s", (_, policy, attempt, failure, expected) => {
    const message = policy === undefined ? undefined : create(RetryPolicySchema, { on: [], ...policy } as object);
    expect(isRetried(message, attempt, failure)).toBe(expected);
  });
});

describe("the delay before the next attempt", () => {
  it.each([
    [1, 1000],
    [2, 2000],
    [3, 4000],
    [4, 5000],
    [900, 5000],
  ])("after attempt %i is %i ms", (attempt, expected) => {
    const policy = create(RetryPolicySchema, { delay: durationFromMs(1000), maxDelay: durationFromMs(5000) });
    expect(retryDelay(policy, attempt)).toBe(expected);
  });

  it("is none without `delay`, and at most an hour without `max_delay`", () => {
    expect(retryDelay(create(RetryPolicySchema), 7)).toBe(0);
    expect(retryDelay(create(RetryPolicySchema, { delay: durationFromMs(1000) }), 40)).toBe(3_600_000);
  });

  it("is followed by a wait of 24 h for an agent, unless the policy says otherwise", () => {
    expect(retryWait(create(RetryPolicySchema))).toBe(86_400_000);
    expect(retryWait(create(RetryPolicySchema, { wait: durationFromMs(0) }))).toBe(0);
  });
});
