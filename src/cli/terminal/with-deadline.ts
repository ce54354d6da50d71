import { systemClock } from "../../base/clock.ts";

/**
 * Runs work that is aborted when the signal aborts or the time is over. Leaves no listener on the signal, which may
 * exist for long: AbortSignal.any would leave one until it is garbage-collected.
 */
export async function withDeadline<T>(
  ms: number,
  outer: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const inner = new AbortController();
  const abort = (): void => inner.abort();
  outer.addEventListener("abort", abort, { once: true });
  if (outer.aborted) abort();
  const timer = systemClock.after(ms, abort);
  try {
    return await work(inner.signal);
  } finally {
    timer.cancel();
    outer.removeEventListener("abort", abort);
  }
}
