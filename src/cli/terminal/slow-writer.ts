import { closeSync, constants, openSync, writeSync } from "node:fs";
import { systemClock } from "../../base/clock.ts";
import { errnoOf } from "../../base/errors.ts";

/** Time between two tries to write to a terminal that takes nothing. */
const RETRY_MS = 15;
/** Longest time for which leaving waits for a terminal that takes nothing. */
const INSIST_MS = 3_000;

/**
 * Writes to the terminal without ever standing still: Node's own stream blocks the program on a slow one, keys and all.
 * Takes the next text only when the one before has gone.
 */
export class SlowWriter {
  private readonly fd: number;
  private readonly owned: boolean;
  private rest: Buffer = Buffer.alloc(0);
  private readonly onDrain: () => void;
  private readonly onGone: () => void;

  /** @param onGone the terminal was closed */
  constructor(onDrain: () => void, onGone: () => void) {
    this.onDrain = onDrain;
    this.onGone = onGone;
    try {
      // An open file of our own: O_NONBLOCK on standard output would be the shell's, too.
      this.fd = openSync("/dev/tty", constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
      this.owned = true;
    } catch {
      this.fd = 1;
      this.owned = false;
    }
  }

  /** Whether something has not gone yet. */
  get busy(): boolean {
    return this.rest.length > 0;
  }

  write(text: string): void {
    this.rest = Buffer.concat([this.rest, Buffer.from(text)]);
    this.push();
  }

  /** Writes at once, in place of what has not gone yet, and waits for it: the last word to the terminal. */
  insist(text: string): void {
    // CAN ends a control sequence that was written in part.
    this.rest = Buffer.from(this.busy ? `\u0018${text}` : text);
    const late = performance.now() + INSIST_MS;
    while (this.busy && performance.now() < late) {
      if (!this.attempt()) return;
      if (this.busy) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
    }
  }

  close(): void {
    this.rest = Buffer.alloc(0);
    if (this.owned) closeSync(this.fd);
  }

  private push(): void {
    if (!this.busy) return;
    if (!this.attempt()) {
      this.rest = Buffer.alloc(0);
      this.onGone();
    } else if (this.busy) {
      systemClock.after(RETRY_MS, () => this.push());
    } else {
      this.onDrain();
    }
  }

  /** Writes what can be written. Returns false if there is no terminal any more. */
  private attempt(): boolean {
    try {
      this.rest = this.rest.subarray(writeSync(this.fd, this.rest));
      return true;
    } catch (error) {
      return errnoOf(error) === "EAGAIN";
    }
  }
}
