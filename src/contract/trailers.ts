// gRPC trailers with which a tracker rejects an agent's stream. Older trackers do not send them.

/** With UNAVAILABLE: milliseconds until the job's next attempt may start, a whole number. */
export const RETRY_DELAY_TRAILER = "belay-retry-delay-ms";
/** With FAILED_PRECONDITION, when the job has ended: its state, as `stateName` writes it. */
export const JOB_STATE_TRAILER = "belay-job-state";
