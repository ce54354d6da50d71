import { within } from "../../base/deadline.ts";
import { BelayError } from "../../base/errors.ts";

/**
 * Waits for a promise, but not longer than some milliseconds. Undefined or 0: there is no limit. What the promise
 * stands for continues; it ends with the client that it uses.
 *
 * @param message what was waited for, and its present state
 * @throws BelayError `WAIT_TIMED_OUT`
 */
export async function withTimeLimit<T>(promise: Promise<T>, ms: number | undefined, message: () => string): Promise<T> {
  if (ms === undefined || ms === 0) return promise;
  return within(ms, promise, () => {
    throw new BelayError("WAIT_TIMED_OUT", message());
  });
}
