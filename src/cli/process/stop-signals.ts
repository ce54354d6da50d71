/** The signals that ask this program to stop. */
const STOP_SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"] as const;

/** Stopping in three steps: the first signal stops in order, the second without grace periods, the third at once. */
export interface StopSignals {
  /** Aborted with the first signal; its reason is an Error that names it, and a `StopReason` of the agent. */
  readonly stop: AbortSignal;
  /** Aborted with the second. */
  readonly stopNow: AbortSignal;
  /** Aborted with the third. */
  readonly leave: AbortSignal;
  /** Acts as if this signal had arrived. */
  receive(signal: NodeJS.Signals): void;
  /** Gives the signals back to Node. */
  release(): void;
}

/** Options of `takeStopSignals`. */
export interface StopOptions {
  /** Called for each of the first three signals, with its number. */
  readonly remark?: (signal: NodeJS.Signals, step: 1 | 2 | 3) => void;
  /** @default SIGTERM, SIGINT, SIGHUP and SIGQUIT */
  readonly signals?: readonly NodeJS.Signals[];
  /** Whether this program inherited a signal as ignored, as under nohup: it stays ignored then. @default no signal */
  readonly isIgnored?: (signal: NodeJS.Signals) => boolean;
}

/** Handles the stop signals instead of Node. */
export function takeStopSignals(options: StopOptions = {}): StopSignals {
  const { remark, signals = STOP_SIGNALS, isIgnored } = options;
  const steps = [new AbortController(), new AbortController(), new AbortController()] as const;
  const receive = (signal: NodeJS.Signals): void => {
    const index = steps.findIndex(({ signal: { aborted } }) => !aborted);
    if (index < 0) return;
    remark?.(signal, (index + 1) as 1 | 2 | 3);
    // As `StopReason` of an agent: a person ends a program with Ctrl-C, a machine and its scheduler with the others.
    const stopKind = signal === "SIGINT" ? "ordered" : "preempted";
    steps[index]?.abort(Object.assign(new Error(`Received ${signal}`), { stopKind }));
  };
  const listeners = signals.map((name) => [name, isIgnored?.(name) === true ? ignore : receive] as const);
  for (const [signal, listener] of listeners) process.on(signal, listener);
  return {
    stop: steps[0].signal,
    stopNow: steps[1].signal,
    leave: steps[2].signal,
    receive,
    release: () => {
      for (const [signal, listener] of listeners) process.off(signal, listener);
    },
  };
}

/** Listener that ignores a signal: Node resets inherited ignored signals to their defaults. */
function ignore(): void {}
