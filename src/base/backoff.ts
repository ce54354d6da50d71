/** Bounds of a back-off, in milliseconds. */
export interface BackoffBounds {
  /** Longest first delay. */
  readonly base: number;
  /** Longest delay of all. */
  readonly cap: number;
}

/**
 * Delay before the next attempt: "full jitter", a random share of a bound that doubles with each attempt
 * (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
 *
 * @param attempt failed attempts so far, from 1
 * @param random a number from 0 to 1
 * @returns milliseconds
 */
export function backoffDelay(attempt: number, bounds: BackoffBounds, random: number = Math.random()): number {
  const ceiling = Math.min(bounds.cap, bounds.base * 2 ** Math.min(attempt - 1, 30));
  return Math.round(random * ceiling);
}
