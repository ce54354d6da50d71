import type { Job, JobResult } from "../../gen/belay/v1/job_pb.ts";
import { JobState, LogCompleteness, Outcome } from "../../gen/belay/v1/job_pb.ts";

/** Whether a job has ended: it never changes again. */
export function isEnded(state: JobState): boolean {
  return state === JobState.SUCCEEDED || state === JobState.FAILED || state === JobState.CANCELED;
}

/** Whether an agent has the job, as far as is known. An agent announces these states. */
export function isRunning(state: JobState): boolean {
  return (
    state === JobState.SETTING_UP ||
    state === JobState.RUNNING ||
    state === JobState.PAUSED ||
    state === JobState.CANCELING
  );
}

/** The state in which a result leaves a job. An outcome that we do not know counts as a failure. */
export function endState(result: JobResult): JobState {
  if (result.outcome === Outcome.SUCCEEDED) return JobState.SUCCEEDED;
  return result.outcome === Outcome.CANCELED ? JobState.CANCELED : JobState.FAILED;
}

/** Whether anything of the job may still come: it has not ended, or its log is not decided. */
export function isOpen(job: Job): boolean {
  if (!isEnded(job.state)) return true;
  const last = job.attempts.at(-1);
  return last !== undefined && last.logCompleteness === LogCompleteness.UNSPECIFIED;
}

/** A state's name as the contract has it, without its prefix. */
export function stateName(state: JobState): string {
  const names = Object.entries(JobState) as [string, JobState][];
  return names.find(([, value]) => value === state)?.[0] ?? `state ${state}`;
}
