import { constants } from "node:os";
import { BelayError, type BelayErrorCode } from "../../../base/errors.ts";

/**
 * Takes the name of a signal as people write it: "SIGTERM", "TERM" or "term".
 *
 * @param what how to call it in an error
 * @throws BelayError when this system knows no such signal
 */
export function parseSignal(name: string, what: string, code: BelayErrorCode = "BAD_USAGE"): NodeJS.Signals {
  const upper = name.trim().toUpperCase();
  const full = upper.startsWith("SIG") ? upper : `SIG${upper}`;
  if (Object.hasOwn(constants.signals, full)) return full as NodeJS.Signals;
  throw new BelayError(code, `Cannot use ${what} "${name}": expected the name of a signal such as "SIGTERM"`);
}
