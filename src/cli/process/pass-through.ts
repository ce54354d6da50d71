import { MiB } from "../../base/text/sizes.ts";
import { whenRead } from "./when-read.ts";
import type { Io } from "./io.ts";

/** Most bytes that wait for a reader of one stream. Only a job that is ending prints more than its reader takes. */
const MOST_WAITING_BYTES = 4 * MiB;

/** A reader that has not taken everything for so long is behind. Milliseconds. */
const BEHIND_MS = 250;

/** Bytes of a job's output, by stream. */
export interface StreamBytes {
  readonly stdout: number;
  readonly stderr: number;
}

/** Passes a job's output through to this program's own. */
export interface PassThrough {
  /** Takes a piece; a promise resolves when there is room for more. Bytes are valid during the call. */
  take(stream: "stdout" | "stderr", data: Uint8Array): void | Promise<void>;
  /** What readers that have been behind for a while have not taken by now. */
  behind(): StreamBytes;
  /**
   * Waits until readers have taken everything. A reader that takes nothing for as long as `patience` says, in milliseconds,
   * is given up, and nothing more is written to it.
   *
   * @returns what was not passed through
   */
  end(patience: () => number): Promise<StreamBytes>;
}

/**
 * Makes a pass-through. A slow reader makes the job wait, as in a shell's pipe; when a reader has gone, its stream is no
 * longer passed through, and nothing else changes. Once the job is ending it no longer waits: when too much is waiting for a reader, that
 * reader gets no more.
 */
export function passThrough(io: Io): PassThrough {
  const stdout = new Way(io.stdout);
  const stderr = new Way(io.stderr);
  return {
    take: (stream, data) => (stream === "stdout" ? stdout : stderr).take(data),
    behind: () => ({ stdout: stdout.behind, stderr: stderr.behind }),
    async end(patience) {
      await Promise.all([whenRead(io.stdout, patience), whenRead(io.stderr, patience)]);
      return { stdout: stdout.missing, stderr: stderr.missing };
    },
  };
}

class Way {
  private readonly output: Io["stdout"];
  private refused = 0;
  /** Since when the reader has been behind, by the monotonic clock. Undefined: it is not. */
  private since: number | undefined;

  constructor(output: Io["stdout"]) {
    this.output = output;
  }

  take(data: Uint8Array): void | Promise<void> {
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
    return long || this.refused > 0 ? this.missing : 0;
  }

  /** A reader that has left has seen enough: for it, nothing is missing. */
  get missing(): number {
    return this.output.gone.aborted && !this.output.givenUp ? 0 : this.output.waiting + this.refused;
  }
}
