import { MiB } from "../../base/text/sizes.ts";
import { whenRead } from "./when-read.ts";
import type { Io } from "./io.ts";

/** Most bytes that wait for a reader of one stream. Reached only while a job ends: before that, the job waits. */
const MOST_WAITING_BYTES = 4 * MiB;

/** A reader is behind if for this time it has never read everything. Milliseconds. */
const BEHIND_MS = 250;

/** Bytes of a job's output, by stream. */
export interface StreamBytes {
  readonly stdout: number;
  readonly stderr: number;
}

/** Passes a job's output through to this program's own output. */
export interface PassThrough {
  /** Passes a piece through; a promise resolves when there is room for more. Bytes are valid only during the call. */
  pass(stream: "stdout" | "stderr", data: Uint8Array): void | Promise<void>;
  /** Bytes of this attempt that readers which are behind have not read yet. */
  behind(): StreamBytes;
  /** The output of another attempt follows: readers that got no more while the one before was ending get it again. */
  nextAttempt(): void;
  /**
   * Waits until the readers have read everything. A reader that reads nothing for the time that `patience` returns, in
   * milliseconds, is given up: nothing more is written to it.
   *
   * @returns the bytes that were not passed through
   */
  end(patience: () => number): Promise<StreamBytes>;
}

/**
 * Makes a pass-through. A slow reader makes the job wait, as in a shell's pipe. When a reader has gone, its stream is
 * no longer passed through, and nothing else changes. A job that is ending does not wait: if too many bytes are waiting
 * for a reader, that reader gets no more.
 */
export function passThrough(io: Io): PassThrough {
  const stdout = new StreamRelay(io.stdout);
  const stderr = new StreamRelay(io.stderr);
  return {
    pass: (stream, data) => (stream === "stdout" ? stdout : stderr).pass(data),
    behind: () => ({ stdout: stdout.behind, stderr: stderr.behind }),
    nextAttempt: () => {
      stdout.nextAttempt();
      stderr.nextAttempt();
    },
    async end(patience) {
      await Promise.all([whenRead(io.stdout, patience), whenRead(io.stderr, patience)]);
      return { stdout: stdout.missing, stderr: stderr.missing };
    },
  };
}

/** Passes one stream on to its reader, and counts what the reader did not get. */
class StreamRelay {
  private readonly output: Io["stdout"];
  /** Bytes of this attempt that were not written. */
  private refused = 0;
  /** The same of the attempts before. */
  private refusedBefore = 0;
  /** Since when bytes have been waiting for the reader. Monotonic clock. Undefined: none are waiting. */
  private since: number | undefined;

  constructor(output: Io["stdout"]) {
    this.output = output;
  }

  pass(data: Uint8Array): void | Promise<void> {
    const { output } = this;
    if (output.gone.aborted && !output.givenUp) return;
    if (output.givenUp || this.refused > 0 || output.waiting > MOST_WAITING_BYTES) {
      this.refused += data.length;
      return;
    }
    const room = output.write(Buffer.from(data));
    if (output.waiting === 0) {
      this.since = undefined;
      return;
    }
    this.since ??= performance.now();
    return room.then(() => {
      if (output.waiting === 0) this.since = undefined;
    });
  }

  get behind(): number {
    const long = this.since !== undefined && performance.now() - this.since >= BEHIND_MS;
    return long || this.refused > 0 ? this.without(this.refused) : 0;
  }

  nextAttempt(): void {
    this.refusedBefore += this.refused;
    this.refused = 0;
  }

  /** Bytes that the reader did not get. 0 for a reader that closed its end: it wants no more. */
  get missing(): number {
    return this.without(this.refused + this.refusedBefore);
  }

  private without(refused: number): number {
    return this.output.gone.aborted && !this.output.givenUp ? 0 : this.output.waiting + refused;
  }
}
