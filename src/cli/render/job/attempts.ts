import { timestampMs } from "@bufbuild/protobuf/wkt";
import { formatDuration } from "../../../contract/durations.ts";
import { counted } from "../../../base/text/count.ts";
import { DEFAULT_WARN_PERIOD_MS } from "../../../contract/attempt-rules.ts";
import { className, healthName } from "../../../contract/names.ts";
import { maxAttempts, retryClasses } from "../../../contract/retry.ts";
import { isEnded } from "../../../contract/states.ts";
import {
  type Attempt,
  FailureClass,
  HealthStatus,
  type Job,
  type JobResult,
  type JobSpec,
  JobState,
  StallAction,
} from "../../../gen/belay/v1/job_pb.ts";
import { clean } from "../clean.ts";
import { resultText } from "./result.ts";
import type { Style } from "../style.ts";
import { msOf } from "../time.ts";

/** `2/5`: the number of the latest attempt, and how many the job may have. `2` if it may have only one. */
export function attemptCount(job: Job): string {
  const latest = job.attempts.at(-1)?.attempt ?? 0;
  const most = maxAttempts(job.spec?.retry);
  return most > 1 ? `${latest}/${most}` : String(latest);
}

/** `Attempt 2 of 5`. */
export function attemptTitle(attempt: number, job: Job): string {
  const most = maxAttempts(job.spec?.retry);
  return most > 1 ? `Attempt ${attempt} of ${most}` : `Attempt ${attempt}`;
}

/** Whether an attempt is over: none of its processes runs any more. */
export function isOver({ result, superseded }: Attempt, { state }: Job): boolean {
  return superseded || result !== undefined || isEnded(state);
}

/** `PREEMPTED`; empty for a success, and for a result of an older agent and tracker. */
export function classText({ failureClass }: JobResult): string {
  return failureClass === FailureClass.UNSPECIFIED ? "" : className(failureClass);
}

/**
 * The event for which a job without an agent waits: `for an agent that takes attempt 2 of 5; it may start in 8.2s; 23h
 * 59m left`. Empty if the job does not wait.
 */
export function waitText(job: Job, now: number): string {
  if (job.state === JobState.LOST) {
    return job.lostUntil === undefined ? "" : `for its agent; ${leftText(job.lostUntil, now)}`;
  }
  if (job.state !== JobState.PENDING) return "";
  const next = (job.attempts.at(-1)?.attempt ?? 0) + 1;
  const early = job.pendingFrom === undefined ? 0 : timestampMs(job.pendingFrom) - now;
  const start = early > 0 ? `; it may start in ${formatDuration(early)}` : "";
  const until = job.pendingUntil === undefined ? "" : `; ${leftText(job.pendingUntil, now)}`;
  const which =
    next === 1 && maxAttempts(job.spec?.retry) === 1 ? "" : ` that takes ${attemptTitle(next, job).toLowerCase()}`;
  return `for an agent${which}${start}${until}`;
}

/**
 * One line about the step from an attempt to the next one, for a user who waits:
 * `Attempt 1 ended (AGENT_STOPPED after 4.2s, PREEMPTED); waiting for attempt 2 of 5`. Empty if the job does not wait
 * between two attempts.
 */
export function betweenText(job: Job): string {
  const last = job.attempts.at(-1);
  if (job.state !== JobState.PENDING || last === undefined) return "";
  const { result } = last;
  const parts = result === undefined ? [] : [resultText(result), classText(result)].filter((part) => part !== "");
  const how = parts.length === 0 ? "" : ` (${parts.join(", ")})`;
  return `Attempt ${last.attempt} ended${how}; waiting for ${attemptTitle(last.attempt + 1, job).toLowerCase()}`;
}

/** `STALLED for 3m 20s: No output for 5m`; empty if nothing is wrong, or not known. */
export function healthText(attempt: Attempt | undefined, style: Style, now: number): string {
  const health = attempt?.health;
  if (!isUnwell(attempt) || health === undefined) return "";
  const since =
    health.since === undefined ? "" : ` for ${formatDuration(Math.max(0, now - timestampMs(health.since)))}`;
  return style.yellow(
    `${healthName(health.status)}${since}${health.message === "" ? "" : `: ${clean(health.message)}`}`,
  );
}

/** Whether an attempt has a health problem. */
export function isUnwell(attempt: Attempt | undefined): boolean {
  return (attempt?.health?.status ?? HealthStatus.OK) > HealthStatus.OK;
}

/** `up to 5 attempts, after PREEMPTED or INFRASTRUCTURE, 10s apart and doubling`. Empty without a policy. */
export function retryText({ retry }: JobSpec): string {
  if (retry === undefined || maxAttempts(retry) === 1) return "";
  const delay = retry.delay === undefined ? 0 : msOf(retry.delay);
  const classes = retryClasses(retry).map(className).join(" or ");
  const delayText = delay === 0 ? "" : `, ${formatDuration(delay)} apart and doubling`;
  return `up to ${counted(maxAttempts(retry), "attempt")}, after ${classes}${delayText}`;
}

/** `SIGUSR1 30s before the end`. Empty without a warning. */
export function warningText({ warnSignal, warnPeriod }: JobSpec): string {
  if (warnSignal === "") return "";
  return `${clean(warnSignal)} ${formatDuration(warnPeriod === undefined ? DEFAULT_WARN_PERIOD_MS : msOf(warnPeriod))} before the end`;
}

/** `after 5m without a sign of life, which ends the job`. Empty without a policy. */
export function stallText({ stall }: JobSpec): string {
  if (stall?.after === undefined) return "";
  const end = stall.action === StallAction.END ? ", which ends the job" : "";
  return `after ${formatDuration(msOf(stall.after))} without a sign of life${end}`;
}

function leftText(time: NonNullable<Job["pendingUntil"]>, now: number): string {
  return `${formatDuration(Math.max(0, timestampMs(time) - now))} left`;
}
