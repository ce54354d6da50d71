import { Callbacks } from "../base/callbacks.ts";
import { BelayError, messageOf } from "../base/errors.ts";
import { guardLogger, silentLogger } from "../base/logger.ts";
import type { AgentOptions, AgentOutcome } from "./options.ts";

/**
 * A function that the program gave us failed. It was not called again, and that changed nothing else: the job went on,
 * and its log was delivered. `cause` is what the function threw.
 */
export class CallbackError<Outcome> extends BelayError {
  /** The function's name, such as `onOutput`. */
  readonly callback: string;
  /** What would have been returned otherwise. */
  readonly outcome: Outcome;

  constructor(failure: CallbackFailure, outcome: Outcome) {
    super("CALLBACK_FAILED", `${failureText(failure)}. Everything else went on; see "outcome" of this error`, {
      cause: failure.error,
    });
    this.callback = failure.name;
    this.outcome = outcome;
  }
}

/** A function of the program around us that failed. */
export interface CallbackFailure {
  readonly name: string;
  readonly error: unknown;
}

/** Calls the program's functions and keeps the first of them that fails. */
export class CallbackFailures {
  /** Undefined: no function has failed. */
  first: CallbackFailure | undefined;
  /** Called with a sentence about each function that fails, and never within the call of that function. */
  onFailure: (sentence: string) => void = () => undefined;

  /** Once all is over. @throws CallbackError if a function has failed */
  throwFirst(outcome: AgentOutcome): void {
    if (this.first !== undefined) throw new CallbackError(this.first, outcome);
  }

  readonly callbacks: Callbacks = new Callbacks((name, error) => {
    const failure = { name, error };
    this.first ??= failure;
    queueMicrotask(() => this.onFailure(failureText(failure)));
  });
}

/** One sentence. */
function failureText({ name, error }: CallbackFailure): string {
  return `The function "${name}" that Belay was given failed and is not called again: ${messageOf(error)}`;
}

/** The same options, with functions that never fail. */
export function guardCallbacks<
  T extends Pick<AgentOptions, "logger" | "onProgress" | "onOutput" | "outputBehind" | "signals">,
>(options: T, callbacks: Callbacks): T {
  const { onOutput, outputBehind, onProgress, signals, logger = silentLogger } = options;
  const progress = onProgress === undefined ? undefined : callbacks.guard("onProgress", onProgress);
  return {
    ...options,
    logger: guardLogger(logger, callbacks),
    ...(onOutput !== undefined && { onOutput: callbacks.guard("onOutput", onOutput) }),
    ...(outputBehind !== undefined && {
      outputBehind: callbacks.ask("outputBehind", outputBehind, { stdout: 0, stderr: 0 }),
    }),
    ...(progress !== undefined && { onProgress: (message) => void progress(message) }),
    ...(signals !== undefined && { signals: guardSignals(signals, callbacks) }),
  };
}

type Signals = NonNullable<AgentOptions["signals"]>;

function guardSignals(signals: Signals, callbacks: Callbacks): Signals {
  return (pass) => {
    let end: (() => void) | undefined;
    void callbacks.guard("signals", () => {
      end = signals(pass);
    })();
    const stop = callbacks.guard("signals", () => end?.());
    return () => void stop();
  };
}
