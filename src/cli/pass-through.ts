import { formatSize, MiB } from "../base/sizes.ts";
import type { Io, Output } from "./io.ts";

/** Most output that waits for a reader who does not read, each of stdout and stderr. */
const MAX_WAITING = 32 * MiB;

/** Passes a job's output through to this program's own. */
export interface PassThrough {
  /** Takes a piece; resolves when there is room for more. Bytes are valid during the call. */
  take(stream: "stdout" | "stderr", data: Uint8Array): void | Promise<void>;
  /** Resolves when all of it has been read; says what was left out. */
  end(): Promise<void>;
}

/**
 * Makes the way through. A reader that has gone ends it and harms nothing. A reader that is slow makes `take` resolve
 * later; what is taken nevertheless waits up to a bound, and beyond it is left out and counted: the tracker has it.
 */
export function passThrough(io: Io): PassThrough {
  const left = { stdout: 0, stderr: 0 };
  return {
    take(stream, data) {
      const output: Output = io[stream];
      if (output.gone.aborted) return;
      if (output.waiting > MAX_WAITING) {
        left[stream] += data.length;
        return;
      }
      const room = output.write(Buffer.from(data));
      if (output.waiting > 0) return room;
    },
    async end() {
      await Promise.all([io.stdout.flush(), io.stderr.flush()]);
      for (const stream of ["stdout", "stderr"] as const) {
        if (left[stream] === 0) continue;
        const size = formatSize(left[stream]);
        await io.stderr.write(
          `belay: ${size} of ${stream} were not passed on, since nobody read them in time; belay logs has them\n`,
        );
      }
    },
  };
}
