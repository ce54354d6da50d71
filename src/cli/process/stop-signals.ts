/** The signals that ask this program to stop. */
const STOP_SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"] as const;

/** Stopping in three steps: the first signal asks, the second insists, the third waits for nothing. */
export interface StopSignals {
  /** Aborted with the first signal; its reason is an Error that names it. */
  readonly stop: AbortSignal;
  /** Aborted with the second. */
  readonly stopNow: AbortSignal;
  /** Aborted with the third. */
  readonly leave: AbortSignal;
  /** Does as if this one had come. */
  take(signal: NodeJS.Signals): void;
  /** Gives the signals back to Node. */
  release(): void;
}

/** What is done about each. */
export interface StopOptions {
  /** Called with each signal that counts, and whether it is the first, second or third. */
  readonly remark?: (signal: NodeJS.Signals, step: 1 | 2 | 3) => void;
  /** @default SIGTERM, SIGINT, SIGHUP and SIGQUIT */
  readonly signals?: readonly NodeJS.Signals[];
  /** Whether this program was started with a signal ignored, as nohup does: then it stays ignored. @default none is */
  readonly isIgnored?: (signal: NodeJS.Signals) => boolean;
}

/** Takes the stop signals over. */
export function takeStopSignals(options: StopOptions = {}): StopSignals {
  const { remark, signals = STOP_SIGNALS, isIgnored } = options;
  const steps = [new AbortController(), new AbortController(), new AbortController()] as const;
  const take = (signal: NodeJS.Signals): void => {
    const index = steps.findIndex(({ signal: { aborted } }) => !aborted);
    if (index < 0) return;
    remark?.(signal, (index + 1) as 1 | 2 | 3);
    steps[index]?.abort(new Error(`Received ${signal}`));
  };
  const listeners = signals.map((name) => [name, isIgnored?.(name) === true ? ignore : take] as const);
  for (const [signal, listener] of listeners) process.on(signal, listener);
  return {
    stop: steps[0].signal,
    stopNow: steps[1].signal,
    leave: steps[2].signal,
    take,
    release: () => {
      for (const [signal, listener] of listeners) process.off(signal, listener);
    },
  };
}

/** Node resets an ignored signal to its default, so that ignoring it needs a listener. */
function ignore(): void {}
