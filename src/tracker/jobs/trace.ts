import { createHash, randomBytes } from "node:crypto";
import type { TraceParent } from "../../base/trace-context.ts";
import { formatTraceParent, parseTraceParent } from "../../base/trace-context.ts";
import type { Job, JobSpec } from "../../gen/belay/v1/job_pb.ts";

/**
 * Begins a job's trace; if the spec names the submitter's trace, the job continues that. The result must be stored in
 * `Job.trace_parent`, since ids are random: a job's id may be used again after the job is deleted, or on another tracker.
 */
export function beginTrace(spec: JobSpec | undefined): string {
  const submitter = submitterOf(spec);
  return formatTraceParent({
    traceId: submitter?.traceId ?? randomBytes(16).toString("hex"),
    spanId: randomBytes(8).toString("hex"),
    sampled: submitter?.sampled ?? true,
  });
}

/** The span of the job's submitter. Undefined: the spec names none. */
export function submitterOf(spec: JobSpec | undefined): TraceParent | undefined {
  return spec === undefined ? undefined : parseTraceParent(spec.traceParent);
}

/**
 * A span below a job's own: an attempt, or a step of one. Its id follows from the job's span, so that it is the same
 * whenever it is asked for, before and after a restart of the tracker.
 */
export function spanBelow(job: TraceParent, attempt: number, step = 0): TraceParent {
  const hash = createHash("sha256").update(`${job.traceId}-${job.spanId}/${attempt}/${step}`).digest("hex");
  return { ...job, spanId: hash.slice(0, 16) };
}

/**
 * The value of TRACEPARENT in the job's environment.
 *
 * @param exported whether spans are exported. If not, the submitter's span, where there is one, is what others can see
 */
export function traceParentForJob(job: Job, attempt: number, exported: boolean): string {
  const own = parseTraceParent(job.traceParent);
  const submitter = submitterOf(job.spec);
  if (submitter !== undefined && (!exported || own === undefined)) return job.spec?.traceParent ?? "";
  return own === undefined ? "" : formatTraceParent(spanBelow(own, attempt));
}
