import { type Duration, durationMs } from "@bufbuild/protobuf/wkt";
import { signalNumber } from "../base/process/signals.ts";
import { MAX_DURATION_MS } from "../base/options.ts";
import {
  AfterCondition,
  FailureClass,
  type JobSpec,
  type RetryPolicy,
  StallAction,
  type StallPolicy,
  StallSign,
} from "../gen/belay/v1/job_pb.ts";
import { className } from "./names.ts";
import { MAX_ATTEMPTS } from "./retry.ts";

/** Most steps after the end. */
export const MAX_AFTER_STEPS = 32;
/** Time between the warning and the stop signal if the spec gives none. Milliseconds. */
export const DEFAULT_WARN_PERIOD_MS = 30_000;
/** Longest time of a step after the end if the spec gives none. Milliseconds. */
export const DEFAULT_AFTER_TIMEOUT_MS: number = 5 * 60_000;

/** Signals that no program can handle: they cannot warn it (signal(7)). */
const NEVER_HANDLED: ReadonlySet<string> = new Set(["SIGKILL", "SIGSTOP"]);

/** A field that breaks a rule. */
export interface RuleBreak {
  /** As in the contract: `retry.max_attempts`. */
  readonly field: string;
  /** What was found and what is expected: `is 0: expected 1 to 1000`. */
  readonly problem: string;
}

/**
 * Checks a spec's fields about attempts, warnings, steps after the end and stalls. Agent and tracker apply the same
 * rules, so that neither rejects a spec that the other one accepts.
 *
 * @returns the first field that breaks a rule; undefined: none does
 */
export function attemptRuleBreak(spec: JobSpec): RuleBreak | undefined {
  return (
    retryBreak(spec.retry) ??
    durationBreak("pending_timeout", spec.pendingTimeout) ??
    durationBreak("lost_timeout", spec.lostTimeout) ??
    warningBreak(spec) ??
    afterBreak(spec) ??
    stallBreak(spec.stall)
  );
}

function retryBreak(retry: RetryPolicy | undefined): RuleBreak | undefined {
  if (retry === undefined) return undefined;
  const { maxAttempts = 1, on } = retry;
  if (maxAttempts < 1 || maxAttempts > MAX_ATTEMPTS) {
    return { field: "retry.max_attempts", problem: `is ${maxAttempts}: expected 1 to ${MAX_ATTEMPTS}` };
  }
  const allowed: readonly FailureClass[] = [FailureClass.JOB, FailureClass.PREEMPTED, FailureClass.INFRASTRUCTURE];
  const wrong = on.find((failure) => !allowed.includes(failure));
  if (wrong !== undefined) {
    return { field: "retry.on", problem: `has ${className(wrong)}: expected JOB, PREEMPTED or INFRASTRUCTURE` };
  }
  return (
    durationBreak("retry.delay", retry.delay) ??
    durationBreak("retry.max_delay", retry.maxDelay) ??
    maxDelayBreak(retry) ??
    durationBreak("retry.wait", retry.wait)
  );
}

function maxDelayBreak({ delay, maxDelay }: RetryPolicy): RuleBreak | undefined {
  if (delay === undefined || maxDelay === undefined || durationMs(maxDelay) >= durationMs(delay)) return undefined;
  const [most, first] = [maxDelay, delay].map((duration) => durationMs(duration) / 1000);
  return { field: "retry.max_delay", problem: `is ${most} s: expected at least the delay, which is ${first} s` };
}

function warningBreak({ warnSignal, warnPeriod, timeout }: JobSpec): RuleBreak | undefined {
  if (warnSignal !== "" && signalNumber(warnSignal) === undefined) {
    return { field: "warn_signal", problem: `is "${warnSignal}": expected the name of a signal such as "SIGUSR1"` };
  }
  if (NEVER_HANDLED.has(warnSignal)) {
    return { field: "warn_signal", problem: `is "${warnSignal}": expected a signal that a program can handle` };
  }
  const broken = durationBreak("warn_period", warnPeriod);
  if (broken !== undefined) return broken;
  if (warnPeriod !== undefined && warnSignal === "") {
    return { field: "warn_period", problem: "is set without warn_signal: expected both" };
  }
  if (warnSignal === "" || timeout === undefined) return undefined;
  const period = warnPeriod === undefined ? DEFAULT_WARN_PERIOD_MS : durationMs(warnPeriod);
  const limit = durationMs(timeout);
  if (limit === 0 || period < limit) return undefined;
  return {
    field: "warn_period",
    problem: `is ${period / 1000} s: expected less than the timeout, which is ${limit / 1000} s`,
  };
}

function afterBreak({ after }: JobSpec): RuleBreak | undefined {
  if (after.length > MAX_AFTER_STEPS) {
    return { field: "after", problem: `has ${after.length} steps: expected at most ${MAX_AFTER_STEPS}` };
  }
  for (const [i, step] of after.entries()) {
    if (step.run.trim() === "") return { field: `after[${i}].run`, problem: "is empty: expected a shell command" };
    for (const [name, text] of [
      ["name", step.name],
      ["run", step.run],
    ] as const) {
      if (text.includes("\0")) return { field: `after[${i}].${name}`, problem: "contains a NUL byte: expected none" };
    }
    if (Buffer.byteLength(step.name) > 256) {
      return { field: `after[${i}].name`, problem: "has more than 256 bytes: expected at most 256" };
    }
    if (!isKnown(AfterCondition, step.when)) {
      return { field: `after[${i}].when`, problem: `is ${step.when}: expected ALWAYS, SUCCESS, FAILURE or CANCELED` };
    }
    const broken = durationBreak(`after[${i}].timeout`, step.timeout);
    if (broken !== undefined) return broken;
  }
  return undefined;
}

function stallBreak(stall: StallPolicy | undefined): RuleBreak | undefined {
  if (stall === undefined) return undefined;
  const broken = durationBreak("stall.after", stall.after);
  if (broken !== undefined) return broken;
  if (stall.after === undefined || durationMs(stall.after) === 0) {
    return { field: "stall.after", problem: "is missing or 0: expected the time without a sign of life" };
  }
  const wrong = stall.signs.find((sign) => sign === StallSign.UNSPECIFIED || !isKnown(StallSign, sign));
  if (wrong !== undefined) {
    return { field: "stall.signs", problem: `has ${wrong}: expected OUTPUT, PROGRESS or CPU` };
  }
  if (!isKnown(StallAction, stall.action)) {
    return { field: "stall.action", problem: `is ${stall.action}: expected REPORT or END` };
  }
  return undefined;
}

function isKnown(names: Readonly<Record<string, number>>, value: number): boolean {
  return Object.values(names).includes(value);
}

/** Checks a duration of a spec or a call. */
export function durationBreak(field: string, duration: Duration | undefined): RuleBreak | undefined {
  if (duration === undefined) return undefined;
  const ms = durationMs(duration);
  if (ms >= 0 && ms <= MAX_DURATION_MS) return undefined;
  return { field, problem: `is ${ms / 1000} s: expected 0 or more, and less than a hundred years` };
}
