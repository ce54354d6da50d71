/** The signals that ask this program to stop. */
const STOP_SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;

/** Two-step stopping: the first signal asks, any further one insists. */
export interface StopSignals {
  /** Aborted with the first signal; its reason is an Error that names it. */
  readonly stop: AbortSignal;
  /** Aborted with the second. */
  readonly stopNow: AbortSignal;
  /** Does as if this one had come. */
  take(signal: NodeJS.Signals): void;
  /** Gives the signals back to Node. */
  release(): void;
}

/**
 * Takes the stop signals over.
 *
 * @param remark told what a signal does
 * @param signals which
 */
export function takeStopSignals(
  remark: (signal: NodeJS.Signals, insisting: boolean) => void,
  signals: readonly NodeJS.Signals[] = STOP_SIGNALS,
): StopSignals {
  const stop = new AbortController();
  const stopNow = new AbortController();
  const take = (signal: NodeJS.Signals): void => {
    const insisting = stop.signal.aborted;
    if (stopNow.signal.aborted) return;
    remark(signal, insisting);
    (insisting ? stopNow : stop).abort(new Error(`Received ${signal}`));
  };
  for (const signal of signals) process.on(signal, take);
  return {
    stop: stop.signal,
    stopNow: stopNow.signal,
    take,
    release: () => {
      for (const signal of signals) process.off(signal, take);
    },
  };
}
