import type { Output } from "./io.ts";

/** A reader that reads nothing for this time counts as stopped. Milliseconds. */
export const STOPPED_READER_MS = 1000;
/** Time between two checks of a reader's progress. Milliseconds. */
const CHECK_MS = 25;

/**
 * Waits until the reader of an output has read everything, or has gone. A reader that reads nothing for the time that
 * `patience` returns, in milliseconds, is given up.
 */
export async function whenRead(output: Output, patience: () => number): Promise<void> {
  let waiting = output.waiting;
  let since = performance.now();
  while (waiting > 0 && !output.gone.aborted) {
    if (performance.now() - since >= patience()) output.giveUp();
    else await new Promise((resolve) => setTimeout(resolve, CHECK_MS));
    if (output.waiting !== waiting) since = performance.now();
    waiting = output.waiting;
  }
}
