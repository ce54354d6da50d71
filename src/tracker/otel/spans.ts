import type { TraceParent } from "../../base/trace-context.ts";
import type { Attempt, Job, JobResult } from "../../gen/belay/v1/job_pb.ts";
import { Outcome } from "../../gen/belay/v1/job_pb.ts";
import { spanBelow, submitterOf } from "../jobs/trace.ts";
import { attemptAttributes, errorOf, jobAttributes, jobName, stepAttributes, stepEndAttributes } from "./attributes.ts";
import type { Moments, OpenStep } from "./notes.ts";
import type { SpanRecord, Time } from "./span-record.ts";
import { later, timeOf } from "./span-record.ts";

// The content of each kind of span. `span` is always the job's own, `now` the tracker's time.

/** How a step ended. */
export interface StepEnd {
  readonly exitCode?: number | undefined;
  /** The signal that ended the step. Empty: no signal did. */
  readonly signal: string;
  readonly time: Time;
  /** Present: it is not known how the step ended, and this says why. */
  readonly lost?: string;
}

const SUPERSEDED = "Another attempt has taken over";

/** The span of a step that has ended. */
export function stepSpan(job: Job, span: TraceParent, attempt: number, step: OpenStep, end: StepEnd): SpanRecord {
  const { exitCode, signal, lost } = end;
  const how = signal === "" ? `Exited with code ${exitCode ?? "unknown"}` : `Ended by ${signal}`;
  const error = lost ?? (exitCode === 0 ? undefined : how);
  return {
    span: spanBelow(span, attempt, step.step),
    parentId: spanBelow(span, attempt).spanId,
    remoteParent: false,
    traceState: stateOf(job, span),
    kind: "internal",
    name: `step ${step.name === "" ? step.step : step.name}`,
    start: step.start,
    end: later(end.time, step.start),
    attributes: {
      ...stepAttributes(job, attempt, step),
      ...(lost === undefined ? stepEndAttributes(exitCode, signal) : { "cicd.pipeline.task.run.result": "error" }),
    },
    moments: [],
    leftOut: 0,
    links: [],
    ok: error === undefined,
    ...(error === undefined ? {} : { error }),
  };
}

/** How a step ended that was running when its attempt ended. */
export function lastStepEnd(step: OpenStep, result: JobResult | undefined, now: Time): StepEnd {
  const time = result?.endTime === undefined ? now : timeOf(result.endTime);
  if (result === undefined) return { signal: "", time, lost: SUPERSEDED };
  // The event of the step's end was lost, but the result has the same values.
  const { exitCode, signal } = result;
  return result.step === step.step ? { exitCode, signal, time } : { signal: "", time, lost: errorOf(result) };
}

/** The span of an attempt that has ended, by its result or because another attempt has taken over. */
export function attemptSpan(job: Job, span: TraceParent, attempt: Attempt, moments: Moments, now: Time): SpanRecord {
  const { attempt: number, result } = attempt;
  const start = attempt.createTime === undefined ? now : timeOf(attempt.createTime);
  return {
    span: spanBelow(span, number),
    parentId: span.spanId,
    remoteParent: false,
    traceState: stateOf(job, span),
    kind: "internal",
    name: `attempt ${number}`,
    start,
    end: later(result?.endTime === undefined ? now : timeOf(result.endTime), start),
    attributes: attemptAttributes(job, attempt),
    moments: moments.kept,
    leftOut: moments.leftOut,
    links: number > 1 ? [spanBelow(span, number - 1)] : [],
    ...statusOf(result, SUPERSEDED),
  };
}

/** The span of a job that has ended. */
export function jobSpan(job: Job, span: TraceParent, moments: Moments, now: Time): SpanRecord {
  const submitter = submitterOf(job.spec);
  // The spec of an agent may name another trace than the one in which the job is recorded.
  const parent = submitter?.traceId === span.traceId ? submitter : undefined;
  const start = job.createTime === undefined ? now : timeOf(job.createTime);
  return {
    span,
    ...(parent === undefined ? {} : { parentId: parent.spanId }),
    remoteParent: parent !== undefined,
    traceState: stateOf(job, span),
    kind: "server",
    name: `job ${jobName(job)}`,
    start,
    end: later(job.endTime === undefined ? now : timeOf(job.endTime), start),
    attributes: jobAttributes(job),
    moments: moments.kept,
    leftOut: moments.leftOut,
    links: submitter === undefined || parent !== undefined ? [] : [submitter],
    ...statusOf(job.result, "It is not known how the job ended"),
  };
}

/** The submitter's `tracestate`, if the job is in the submitter's trace. */
function stateOf(job: Job, span: TraceParent): string {
  return submitterOf(job.spec)?.traceId === span.traceId ? (job.spec?.traceState ?? "") : "";
}

/** A job that a command ended has neither failed nor succeeded. */
function statusOf(result: JobResult | undefined, unknown: string): { ok: boolean; error?: string } {
  if (result === undefined) return { ok: false, error: unknown };
  if (result.outcome === Outcome.SUCCEEDED) return { ok: true };
  return result.outcome === Outcome.CANCELED ? { ok: false } : { ok: false, error: errorOf(result) };
}
