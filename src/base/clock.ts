/** Longest delay that `setTimeout` takes; a longer one would fire at once. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

const originNano = BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint();

/**
 * Time and timers, to be replaced in tests. Timers never keep the process alive: whoever waits for one holds something
 * else open.
 */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** Nanoseconds since the Unix epoch; never goes back within a process. */
  unixNano(): bigint;
  /** Milliseconds from an arbitrary start; never goes back. */
  monotonic(): number;
  /** Calls back once after some milliseconds. A delay beyond 2^31 ms is cut to that (24.8 days). */
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
  monotonic: () => performance.now(),
  after: (ms, callback) => {
    const timer = setTimeout(callback, Math.min(Math.max(0, ms), MAX_TIMEOUT_MS));
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};

/** Waits some milliseconds, or until the signal aborts, whichever is first. Does not throw. Keeps the process alive. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) {
      resolve();
      return;
    }
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, Math.min(Math.max(0, ms), MAX_TIMEOUT_MS));
    signal?.addEventListener("abort", done, { once: true });
  });
}
