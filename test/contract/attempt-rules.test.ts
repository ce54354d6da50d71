import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { attemptRuleBreak } from "../../src/contract/attempt-rules.ts";
import { AfterCondition, FailureClass, JobSpecSchema, StallAction, StallSign } from "../../src/gen/belay/v1/job_pb.ts";

const seconds = (count: number): ReturnType<typeof durationFromMs> => durationFromMs(count * 1000);
const after = { run: "true" };

type Spec = Omit<MessageInitShape<typeof JobSpecSchema>, "$typeName">;

const broken: readonly [field: string, spec: Spec, problem: string][] = [
  ["retry.max_attempts", { retry: { maxAttempts: 0 } }, "is 0: expected 1 to 1000"],
  ["retry.max_attempts", { retry: { maxAttempts: 1_000_000 } }, "is 1000000: expected 1 to 1000"],
  ["retry.on", { retry: { on: [FailureClass.ORDERED] } }, "has ORDERED: expected JOB, PREEMPTED or INFRASTRUCTURE"],
  ["retry.on", { retry: { on: [FailureClass.UNSPECIFIED] } }, "has UNSPECIFIED: expected JOB, PREEMPTED or"],
  ["retry.on", { retry: { on: [99 as FailureClass] } }, "has UNKNOWN_99: expected JOB"],
  ["retry.delay", { retry: { delay: seconds(-1) } }, "is -1 s: expected 0 or more"],
  ["retry.max_delay", { retry: { maxDelay: seconds(-5) } }, "is -5 s: expected 0 or more"],
  [
    "retry.max_delay",
    { retry: { delay: seconds(10), maxDelay: seconds(5) } },
    "is 5 s: expected at least the delay, which is 10 s",
  ],
  ["retry.wait", { retry: { wait: seconds(1e10) } }, "is 10000000000 s: expected 0 or more, and less than a hundred"],
  ["pending_timeout", { pendingTimeout: seconds(-1) }, "is -1 s"],
  ["lost_timeout", { lostTimeout: seconds(1e11) }, "less than a hundred years"],
  ["warn_signal", { warnSignal: "SIGNOPE" }, 'is "SIGNOPE": expected the name of a signal'],
  ["warn_signal", { warnSignal: "SIGKILL" }, 'is "SIGKILL": expected a signal that a program can handle'],
  ["warn_period", { warnSignal: "SIGUSR1", warnPeriod: seconds(-2) }, "is -2 s"],
  ["warn_period", { warnPeriod: seconds(2) }, "is set without warn_signal: expected both"],
  ["warn_period", { warnSignal: "SIGUSR1", warnPeriod: seconds(60), timeout: seconds(60) }, "less than the timeout"],
  ["warn_period", { warnSignal: "SIGUSR1", timeout: seconds(20) }, "is 30 s: expected less than the timeout"],
  ["after", { after: Array.from({ length: 33 }, () => after) }, "has 33 steps: expected at most 32"],
  ["after[1].run", { after: [after, { run: " " }] }, "is empty: expected a shell command"],
  ["after[0].run", { after: [{ run: "a\0b" }] }, "contains a NUL byte"],
  ["after[0].name", { after: [{ ...after, name: "x".repeat(257) }] }, "has more than 256 bytes"],
  ["after[0].when", { after: [{ ...after, when: 9 as AfterCondition }] }, "is 9: expected ALWAYS"],
  ["after[0].timeout", { after: [{ ...after, timeout: seconds(-1) }] }, "is -1 s"],
  ["stall.after", { stall: {} }, "is missing or 0"],
  ["stall.after", { stall: { after: seconds(0) } }, "is missing or 0"],
  ["stall.after", { stall: { after: seconds(-3) } }, "is -3 s"],
  ["stall.signs", { stall: { after: seconds(1), signs: [StallSign.UNSPECIFIED] } }, "expected OUTPUT, PROGRESS or CPU"],
  ["stall.action", { stall: { after: seconds(1), action: 7 as StallAction } }, "is 7: expected REPORT or END"],
];

describe("a spec is refused, with field and rule, for", () => {
  it.each(broken)("%s", (field, spec, problem) => {
    const found = attemptRuleBreak(create(JobSpecSchema, spec as MessageInitShape<typeof JobSpecSchema>));
    expect(found?.field).toBe(field);
    expect(found?.problem).toContain(problem);
  });
});

describe("what a spec may say about attempts", () => {
  it("may be nothing, or everything", () => {
    expect(attemptRuleBreak(create(JobSpecSchema))).toBeUndefined();
    const spec = create(JobSpecSchema, {
      timeout: seconds(100),
      retry: { maxAttempts: 1000, on: [FailureClass.JOB], delay: seconds(1), maxDelay: seconds(9), wait: seconds(0) },
      pendingTimeout: seconds(0),
      lostTimeout: seconds(60),
      warnSignal: "SIGUSR1",
      warnPeriod: seconds(99),
      after: [{ ...after, when: AfterCondition.SUCCESS, timeout: seconds(0) }],
      stall: { after: seconds(1), signs: [StallSign.CPU], action: StallAction.END },
    });
    expect(attemptRuleBreak(spec)).toBeUndefined();
  });
});
