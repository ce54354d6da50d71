import { Containment, EndReason, JobState, LogStream, Outcome } from "../gen/belay/v1/job_pb.ts";

/** `JOB_STATE_RUNNING` as people write it: `RUNNING`. A value from a newer contract: `UNKNOWN_17`. */
export function stateName(state: JobState): string {
  return nameOf(JobState, state);
}

/** `EXITED`. */
export function reasonName(reason: EndReason): string {
  return nameOf(EndReason, reason);
}

/** `FAILED`. */
export function outcomeName(outcome: Outcome): string {
  return nameOf(Outcome, outcome);
}

/** `stdout`. */
export function streamName(stream: LogStream): string {
  return nameOf(LogStream, stream).toLowerCase();
}

/** `cgroup`, `process group`. */
export function containmentName(containment: Containment): string {
  return nameOf(Containment, containment).toLowerCase().replaceAll("_", " ");
}

function nameOf(names: Readonly<Record<string, number>>, value: number): string {
  const name = Object.entries(names).find(([, candidate]) => candidate === value)?.[0];
  return name ?? `UNKNOWN_${value}`;
}
