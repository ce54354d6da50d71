import type { BackoffBounds } from "../../base/backoff.ts";

/**
 * How long a session waits for what may never come, in milliseconds. Not an option: only tests that would wait for one
 * of these pass a shorter one.
 */
export interface SessionTiming {
  /** Longest time for the transport to come up. */
  readonly connect: number;
  /** Longest time for Welcome after that. */
  readonly welcome: number;
  /** A tracker that has committed everything but sends no Receipt within this time will not send one. */
  readonly receipt: number;
  /** Time for the tracker to end the stream after the half-close. */
  readonly close: number;
  /** Longest time between two dials while the job waits for the attempt: a cancel is noticed with the next dial. */
  readonly poll: number;
  /** Before the next dial. */
  readonly backoff: BackoffBounds;
}

export const SESSION_TIMING: SessionTiming = {
  connect: 10_000,
  welcome: 10_000,
  receipt: 5000,
  close: 2000,
  poll: 10_000,
  backoff: { base: 500, cap: 30_000 },
};
