import { Containment, EndReason, JobState, LogStream, Outcome } from "../../gen/belay/v1/job_pb.ts";

/** Whether a job in this state never changes again. */
export function hasEnded(state: JobState): boolean {
  return state === JobState.SUCCEEDED || state === JobState.FAILED || state === JobState.CANCELED;
}

/** `JOB_STATE_RUNNING` as people say it: `RUNNING`. */
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

/** States by the names that people type. */
export const STATE_NAMES: ReadonlyMap<string, JobState> = new Map(
  Object.entries(JobState)
    .filter(([name]) => name !== "UNSPECIFIED")
    .map(([name, value]) => [name, value] as const),
);

function nameOf(names: Readonly<Record<string, number>>, value: number): string {
  const name = Object.entries(names).find(([, candidate]) => candidate === value)?.[0];
  return name ?? `UNKNOWN_${value}`;
}
