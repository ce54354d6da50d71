import { isTraceState, parseTraceParent } from "../../../base/trace-context.ts";
import type { JobSpec } from "../../../gen/belay/v1/job_pb.ts";

/**
 * The variables that give a job's programs their parent in a trace.
 *
 * @param assigned sent by the tracker; empty, as from an older one: the spec's counts
 * @returns no variables if neither can be used
 */
export function traceEnvironment(assigned: string, spec: JobSpec): Record<string, string> {
  const submitter = parseTraceParent(spec.traceParent);
  const span = parseTraceParent(assigned);
  if (span === undefined && submitter === undefined) return {};
  // The state belongs to the submitter's trace.
  const goesOn = submitter !== undefined && submitter.traceId === (span ?? submitter).traceId;
  const state = goesOn && isTraceState(spec.traceState) ? spec.traceState : "";
  return {
    TRACEPARENT: span === undefined ? spec.traceParent : assigned,
    ...(state === "" ? {} : { TRACESTATE: state }),
  };
}
