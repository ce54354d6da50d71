/** Longest delay that Node's own timers take, in milliseconds (24.8 days); with a longer one they fire at once. */
export const MAX_TIMEOUT_MS: number = 2 ** 31 - 1;

const originNano = BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint();

/**
 * Time and timers, to be replaced in tests. Timers never keep the process alive: whoever waits for one holds something
 * else open.
 */
export interface Clock {
  /** Milliseconds since the Unix epoch, as the machine says now. It jumps when the clock is set: only to be shown. */
  now(): number;
  /**
   * Nanoseconds since the Unix epoch: the machine's time when this process began, and what has passed since. It never
   * jumps, so the difference of two is a duration.
   */
  unixNano(): bigint;
  /** The same as whole milliseconds. */
  unixMs(): number;
  /** Milliseconds from an arbitrary start; never goes back. */
  monotonic(): number;
  /** Calls back once after some milliseconds, however many. */
  after(ms: number, callback: () => void): Timer;
}

/** A timer that has been set. */
export interface Timer {
  /** Takes it back. Harmless when it has fired. */
  cancel(): void;
}

/** The machine's own time. */
export const systemClock: Clock = {
  now: () => Date.now(),
  unixNano: () => originNano + process.hrtime.bigint(),
  unixMs: () => Number(systemClock.unixNano() / 1_000_000n),
  monotonic: () => performance.now(),
  after: (ms, callback) => {
    if (ms > MAX_TIMEOUT_MS) return longTimer(ms, callback, false);
    const timer = setTimeout(callback, Math.max(0, ms));
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};

/**
 * A timer for any delay.
 *
 * @param keep whether it keeps the process alive
 */
export function longTimer(ms: number, callback: () => void, keep: boolean): Timer {
  const due = performance.now() + ms;
  let timer: NodeJS.Timeout;
  const wait = (): void => {
    const left = due - performance.now();
    timer = left > MAX_TIMEOUT_MS ? setTimeout(wait, MAX_TIMEOUT_MS) : setTimeout(callback, Math.max(0, left));
    if (!keep) timer.unref();
  };
  wait();
  return { cancel: () => clearTimeout(timer) };
}

/** Waits some milliseconds, or until the signal aborts, whichever is first. Does not throw. Keeps the process alive. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) {
      resolve();
      return;
    }
    const done = (): void => {
      timer.cancel();
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = longTimer(ms, done, true);
    signal?.addEventListener("abort", done, { once: true });
  });
}
