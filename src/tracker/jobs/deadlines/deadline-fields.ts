import { durationMs, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { Job } from "../../../gen/belay/v1/job_pb.ts";
import { JobState } from "../../../gen/belay/v1/job_pb.ts";

/**
 * Gives a job the fields that belong to its state, before it is stored. Law: `pending_reason`, `pending_from` and
 * `pending_until` are set only while it is PENDING; `lost_until` is set exactly while it is LOST, unless that may last
 * for ever.
 *
 * @param lostTimeout milliseconds, where the spec does not say. 0: for ever
 */
export function keepDeadlines(job: Job, now: number, lostTimeout: number): void {
  if (job.state !== JobState.PENDING) {
    job.pendingReason = "";
    delete job.pendingFrom;
    delete job.pendingUntil;
  }
  if (job.state !== JobState.LOST) delete job.lostUntil;
  else if (job.lostUntil === undefined) {
    const own = job.spec?.lostTimeout;
    const ms = own === undefined ? lostTimeout : durationMs(own);
    if (ms > 0) job.lostUntil = timestampFromMs(now + ms);
  }
}

/** Sets when a job that is PENDING from `from` on has waited too long. @param ms milliseconds. 0: never */
export function putPendingUntil(job: Job, from: number, ms: number): void {
  if (ms > 0) job.pendingUntil = timestampFromMs(from + ms);
}

/** When a job must not be PENDING or LOST any longer, in milliseconds since the Unix epoch. Undefined: it may be for ever. */
export function deadlineOf(job: Job): number | undefined {
  const until = job.pendingUntil ?? job.lostUntil;
  return until === undefined ? undefined : timestampMs(until);
}

/** Moves the deadline of a job that has one. */
export function putDeadline(job: Job, ms: number): void {
  if (job.pendingUntil !== undefined) job.pendingUntil = timestampFromMs(ms);
  if (job.lostUntil !== undefined) job.lostUntil = timestampFromMs(ms);
}
