import type { Job, JobState } from "../../gen/belay/v1/job_pb.ts";
import type { Moment, Time } from "./span-record.ts";

/** Moments that are kept of one span. */
const MAX_MOMENTS = 64;

/** A step that has started and not ended. */
export interface OpenStep {
  readonly step: number;
  readonly name: string;
  readonly argv: readonly string[];
  readonly pid: number;
  readonly main: boolean;
  readonly start: Time;
}

/** Moments of a span that is not over. */
export interface Moments {
  readonly kept: Moment[];
  leftOut: number;
}

/**
 * What has to be remembered of a job's spans until they are over, beyond what the job itself says. Stored with the
 * job, so that a tracker that was killed goes on where it was.
 */
export interface Notes {
  /** State after the last change. */
  state: JobState;
  /** Attempts that have begun. */
  begun: number;
  /** Attempts whose spans are over. */
  closed: number;
  readonly job: Moments;
  /** Of the latest attempt. */
  attempt: Moments;
  step?: OpenStep;
}

/** No moments yet. */
export function noMoments(): Moments {
  return { kept: [], leftOut: 0 };
}

/** Keeps the first ones, which say how it came to the rest. */
export function addMoment(moments: Moments, moment: Moment): void {
  if (moments.kept.length < MAX_MOMENTS) moments.kept.push(moment);
  else moments.leftOut++;
}

/** Notes on a job that none were taken of so far. Attempts that were superseded by then get no span. */
export function beginNotes(job: Job): Notes {
  const begun = job.attempts.length;
  return { state: job.state, begun, closed: Math.max(0, begun - 1), job: noMoments(), attempt: noMoments() };
}
