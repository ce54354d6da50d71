import { within } from "../../base/deadline.ts";
import { BelayError } from "../../base/errors.ts";

/**
 * Waits for a promise, but at most `ms` milliseconds. Undefined or 0: there is no limit. The work behind the promise
 * continues after that, until its client is closed.
 *
 * @param message returns the error's message, which names the awaited event and the present state
 * @throws BelayError `WAIT_TIMED_OUT`
 */
export async function withTimeLimit<T>(promise: Promise<T>, ms: number | undefined, message: () => string): Promise<T> {
  if (ms === undefined || ms === 0) return promise;
  return within(ms, promise, () => {
    throw new BelayError("WAIT_TIMED_OUT", message());
  });
}
