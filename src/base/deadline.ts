import type { Clock } from "./clock.ts";
import { longTimer } from "./clock.ts";

/** Keeps the process alive while it waits. */
const waitingClock: Pick<Clock, "after"> = { after: (ms, callback) => longTimer(ms, callback, true) };

/**
 * Waits for a promise, but for at most `ms` milliseconds. The work behind the promise goes on after that, and then its
 * failure is ignored.
 *
 * @param late called when the time is over; returns the result instead of the promise, or throws
 * @param clock sets the timer. @default one whose timers keep the process alive
 */
export async function within<T, L>(
  ms: number,
  promise: Promise<T>,
  late: () => L,
  clock: Pick<Clock, "after"> = waitingClock,
): Promise<T | L> {
  const over = Promise.withResolvers<void>();
  const timer = clock.after(ms, over.resolve);
  try {
    return await Promise.race([promise, over.promise.then(late)]);
  } finally {
    timer.cancel();
  }
}
