import type { Keepalive } from "./network/keepalive.ts";

/** Lets a loop sleep until it is notified. A notification while the loop is awake is not lost. */
export class Wakeup {
  private happened = false;
  private wake: (() => void) | undefined;

  /** Wakes the loop, now or at its next wait. */
  notify(): void {
    this.happened = true;
    this.wake?.();
    this.wake = undefined;
  }

  /** Resolves at once if there was a notification since the last wait, and at the latest when a keepalive is due. */
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
 * Cleans up when a streaming call ends. The handler may not notice the end: if a client disconnects while we wait for
 * it to read, connect-node never resumes the handler. The call's signal aborts in any case.
 */
export class CallScope implements Disposable {
  private readonly undo: (() => void)[] = [];
  private readonly signal: AbortSignal;

  constructor(signal: AbortSignal) {
    this.signal = signal;
    signal.addEventListener("abort", this.end, { once: true });
  }

  /** Runs a function at the end of the call, or now if the call has ended. */
  defer(undo: () => void): void {
    this.undo.push(undo);
    if (this.signal.aborted) this.end();
  }

  /** @throws the reason, if the call has ended */
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
