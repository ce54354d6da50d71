import { STOP_WINDOW, type StopWindow } from "./stop-window.ts";

/**
 * Bounds of a job's end, in milliseconds. Not an option: only tests that would wait for one of these pass a shorter one.
 */
export interface EndTiming {
  /** How long SIGKILL is repeated before the survivors are named: only uninterruptible sleep outlasts it. */
  readonly sweep: number;
  /** After the output has been silent for this long, a pipe that a process still holds is given up. */
  readonly outputSilence: number;
  readonly stopWindow: StopWindow;
}

export const END_TIMING: EndTiming = { sweep: 5000, outputSilence: 5000, stopWindow: STOP_WINDOW };
