import type { Keepalive } from "./keepalive.ts";

/** Lets a loop sleep until something happened, and never miss what happened while it was awake. */
export class Wakeup {
  private happened = false;
  private wake: (() => void) | undefined;

  /** Something happened. */
  notify(): void {
    this.happened = true;
    this.wake?.();
    this.wake = undefined;
  }

  /** Returns at once if something happened since the last time, and no later than a sign of life is due. */
  async wait(keepalive?: Keepalive): Promise<void> {
    if (!this.happened) {
      await new Promise<void>((resolve) => {
        const timer = keepalive?.whenDue(resolve);
        this.wake = () => {
          timer?.cancel();
          resolve();
        };
      });
    }
    this.happened = false;
  }
}

/**
 * What is to be undone when a streaming call is over. It may be over without the handler noticing: when a client goes
 * while we wait for it to read, connect-node never comes back to the handler. The call's signal tells in any case.
 */
export class CallScope implements Disposable {
  private readonly undo: (() => void)[] = [];
  private readonly signal: AbortSignal;

  constructor(signal: AbortSignal) {
    this.signal = signal;
    signal.addEventListener("abort", this.end, { once: true });
  }

  /** Runs it at the end of the call, or now if the call is over. */
  defer(undo: () => void): void {
    this.undo.push(undo);
    if (this.signal.aborted) this.end();
  }

  /** @throws the reason, if the call is over */
  check(): void {
    this.signal.throwIfAborted();
  }

  [Symbol.dispose](): void {
    this.signal.removeEventListener("abort", this.end);
    this.end();
  }

  private readonly end = (): void => {
    for (const undo of this.undo.splice(0).toReversed()) undo();
  };
}
