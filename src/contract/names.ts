import {
  Containment,
  EndReason,
  FailureClass,
  HealthStatus,
  JobState,
  LogStream,
  Outcome,
} from "../gen/belay/v1/job_pb.ts";

/** The name of a state without its prefix: `RUNNING`. A value from a newer contract: `UNKNOWN_17`. */
export function stateName(state: JobState): string {
  return nameOf(JobState, state);
}

/** The name of a reason: `EXITED`. */
export function reasonName(reason: EndReason): string {
  return nameOf(EndReason, reason);
}

/** The name of an outcome: `FAILED`. */
export function outcomeName(outcome: Outcome): string {
  return nameOf(Outcome, outcome);
}

/** The name of a failure class: `PREEMPTED`. */
export function className(failure: FailureClass): string {
  return nameOf(FailureClass, failure);
}

/** The name of a health status: `STALLED`. */
export function healthName(status: HealthStatus): string {
  return nameOf(HealthStatus, status);
}

/** The name of a stream: `stdout`. */
export function streamName(stream: LogStream): string {
  return nameOf(LogStream, stream).toLowerCase();
}

/** The name of a containment: `cgroup`, `process group`. */
export function containmentName(containment: Containment): string {
  return nameOf(Containment, containment).toLowerCase().replaceAll("_", " ");
}

function nameOf(names: Readonly<Record<string, number>>, value: number): string {
  const name = Object.entries(names).find(([, candidate]) => candidate === value)?.[0];
  return name ?? `UNKNOWN_${value}`;
}
