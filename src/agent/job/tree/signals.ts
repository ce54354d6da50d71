import { BelayError, type BelayErrorCode } from "../../../base/errors.ts";
import { findSignal, type Signal } from "../../../base/process/signals.ts";

/**
 * Parses the name of a signal as a user writes it: "SIGTERM", "TERM" or "term".
 *
 * @param what what an error calls the value
 * @throws BelayError when this system has no such signal
 */
export function parseSignal(name: string, what: string, code: BelayErrorCode = "BAD_USAGE"): Signal {
  const signal = findSignal(name);
  if (signal !== undefined) return signal;
  throw new BelayError(code, `Cannot use ${what} "${name}": expected the name of a signal such as "SIGTERM"`);
}
