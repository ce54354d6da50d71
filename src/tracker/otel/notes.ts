import type { Job, JobState } from "../../gen/belay/v1/job_pb.ts";
import type { Moment, Time } from "./span-record.ts";

/** Most moments that are kept of one span. */
const MAX_MOMENTS = 64;

/** A step that has started and has not ended. */
export interface OpenStep {
  readonly step: number;
  readonly name: string;
  readonly argv: readonly string[];
  readonly pid: number;
  readonly main: boolean;
  /** Whether it is a step after the end. */
  readonly after?: boolean;
  readonly start: Time;
}

/** Moments of a span that has not ended. */
export interface Moments {
  readonly kept: Moment[];
  leftOut: number;
}

/**
 * What must be remembered about a job's spans until they end, beyond the job itself. Stored with the job, so that a
 * tracker that was killed continues where it was.
 */
export interface Notes {
  /** State after the last change. */
  state: JobState;
  /** How many attempts have begun. */
  begun: number;
  /** How many attempts' spans have ended. */
  closed: number;
  readonly job: Moments;
  /** Moments of the latest attempt. */
  attempt: Moments;
  step?: OpenStep;
}

/** No moments yet. */
export function noMoments(): Moments {
  return { kept: [], leftOut: 0 };
}

/** Adds a moment. Beyond the bound it is only counted: the first moments explain the later ones. */
export function addMoment(moments: Moments, moment: Moment): void {
  if (moments.kept.length < MAX_MOMENTS) moments.kept.push(moment);
  else moments.leftOut++;
}

/** First notes on a job. Attempts that have been superseded by then get no span. */
export function beginNotes(job: Job): Notes {
  const begun = job.attempts.length;
  return { state: job.state, begun, closed: Math.max(0, begun - 1), job: noMoments(), attempt: noMoments() };
}
