/** Longest delay of Node's own timers, in milliseconds (24.8 days); with a longer one they fire at once. */
export const MAX_TIMEOUT_MS: number = 2 ** 31 - 1;

const originNano = BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint();

/**
 * Time and timers; tests replace them. Timers never keep the process alive: code that waits for one keeps something
 * else open.
 */
export interface Clock {
  /** Milliseconds since the Unix epoch by the machine's clock. Jumps when that clock is set: only for display. */
  now(): number;
  /**
   * Nanoseconds since the Unix epoch: the machine's time when this process started, plus the time since. Never jumps,
   * so the difference of two is a duration.
   */
  unixNano(): bigint;
  /** The same as whole milliseconds. */
  unixMs(): number;
  /** Milliseconds since an arbitrary start; never decreases. */
  monotonic(): number;
  /** Calls back once after a delay of any length. */
  after(ms: number, callback: () => void): Timer;
}

/** A timer that has been set. */
export interface Timer {
  /** Cancels the timer. No effect after it has fired. */
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

/** Waits for a time, or until the signal aborts, whichever comes first. Does not throw. Keeps the process alive. */
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
