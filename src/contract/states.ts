import { JobState, Outcome } from "../gen/belay/v1/job_pb.ts";

/** The states that may still change. */
export const LIVE_STATES: readonly JobState[] = [
  JobState.PENDING,
  JobState.SETTING_UP,
  JobState.RUNNING,
  JobState.PAUSED,
  JobState.CANCELING,
  JobState.LOST,
];

/** The states that never change again. */
export const ENDED_STATES: readonly JobState[] = [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED];

/** Whether a job in this state has ended. The state of such a job never changes again. */
export function isEnded(state: JobState): boolean {
  return state === JobState.SUCCEEDED || state === JobState.FAILED || state === JobState.CANCELED;
}

/** Whether an agent has the job, as far as known. These are the states that an agent reports. */
export function isRunning(state: JobState): boolean {
  return (
    state === JobState.SETTING_UP ||
    state === JobState.RUNNING ||
    state === JobState.PAUSED ||
    state === JobState.CANCELING
  );
}

/** The state of a job with this outcome. An outcome from a newer contract counts as a failure. */
export function endState(outcome: Outcome): JobState {
  if (outcome === Outcome.SUCCEEDED) return JobState.SUCCEEDED;
  return outcome === Outcome.CANCELED ? JobState.CANCELED : JobState.FAILED;
}
