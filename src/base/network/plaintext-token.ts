import { BelayError } from "../errors.ts";
import type { TrackerAddress } from "./tracker-address.ts";

/**
 * Enforces a rule of agent and commands: a token is never sent in plaintext to another machine, unless the user allows
 * it.
 *
 * @throws BelayError `BAD_USAGE`
 */
export function checkTokenAllowed(address: TrackerAddress, insecure: boolean | undefined): void {
  if (address.tls || address.local || insecure === true) return;
  throw new BelayError(
    "BAD_USAGE",
    `Cannot send a token in plaintext to "${address.text}": use https, or allow it with --insecure`,
  );
}
