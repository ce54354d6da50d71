import type { Io, Output } from "./io.ts";

/** Passes a job's output through to this program's own. */
export interface PassThrough {
  /** Takes a piece; a promise resolves when there is room for more. Bytes are valid during the call. */
  take(stream: "stdout" | "stderr", data: Uint8Array): void | Promise<void>;
  /** Resolves when all of it has been read, or nobody reads any more. */
  end(): Promise<void>;
}

/**
 * Makes the way through. A reader that is slow makes the job wait, as it would in a shell's pipe; one that has gone ends
 * the way through and harms nothing.
 */
export function passThrough(io: Io): PassThrough {
  return {
    take(stream, data) {
      const output: Output = io[stream];
      if (output.gone.aborted) return;
      const room = output.write(Buffer.from(data));
      if (output.waiting > 0) return room;
    },
    async end() {
      await Promise.all([io.stdout.flush(), io.stderr.flush()]);
    },
  };
}
