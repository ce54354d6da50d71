import type { Clock } from "./clock.ts";
import { longTimer } from "./clock.ts";

/** Keeps the process alive while it waits. */
const waitingClock: Pick<Clock, "after"> = { after: (ms, callback) => longTimer(ms, callback, true) };

/**
 * Waits for a promise, but for at most `ms` milliseconds. What the promise stands for goes on after that; if it fails
 * then, the failure is ignored.
 *
 * @param late called when the time is over; returns the result in the promise's place, or throws
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
