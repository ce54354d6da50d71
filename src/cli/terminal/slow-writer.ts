import { closeSync, constants, openSync, writeSync } from "node:fs";
import { systemClock } from "../../base/clock.ts";
import { errnoOf } from "../../base/errors.ts";

/** Time between two attempts to write to a terminal that accepts nothing. */
const RETRY_MS = 15;
/** Longest time that the last write waits for a terminal that accepts nothing. */
const LAST_WRITE_MS = 3_000;

/**
 * Writes to the terminal without blocking: on a slow terminal, Node's own stream blocks the whole program, its keys
 * included. Accepts the next text only when the one before has been written.
 */
export class SlowWriter {
  private readonly fd: number;
  private readonly ownsTerminal: boolean;
  private rest: Buffer = Buffer.alloc(0);
  private readonly onDrain: () => void;
  private readonly onGone: () => void;

  /** @param onGone called when the terminal was closed */
  constructor(onDrain: () => void, onGone: () => void) {
    this.onDrain = onDrain;
    this.onGone = onGone;
    try {
      // Opened separately: O_NONBLOCK on standard output would also apply to the shell.
      this.fd = openSync("/dev/tty", constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
      this.ownsTerminal = true;
    } catch {
      this.fd = 1;
      this.ownsTerminal = false;
    }
  }

  /** Whether part of a text has not been written yet. */
  get busy(): boolean {
    return this.rest.length > 0;
  }

  write(text: string): void {
    this.rest = Buffer.concat([this.rest, Buffer.from(text)]);
    this.push();
  }

  /** Writes the last text: discards text that has not been written yet, and waits until the last one is. */
  writeLast(text: string): void {
    // CAN ends a control sequence of which only a part was written.
    this.rest = Buffer.from(this.busy ? `\u0018${text}` : text);
    const late = performance.now() + LAST_WRITE_MS;
    while (this.busy && performance.now() < late) {
      if (!this.attempt()) return;
      if (this.busy) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
    }
  }

  close(): void {
    this.rest = Buffer.alloc(0);
    if (this.ownsTerminal) closeSync(this.fd);
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

  /** Writes what the terminal accepts. Returns false if the terminal is gone. */
  private attempt(): boolean {
    try {
      this.rest = this.rest.subarray(writeSync(this.fd, this.rest));
      return true;
    } catch (error) {
      return errnoOf(error) === "EAGAIN";
    }
  }
}
