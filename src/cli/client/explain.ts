import { within } from "../../base/deadline.ts";
import { formatDuration } from "../../contract/durations.ts";
import { CLIENT_FLAGS, type ProofFiles, proofOf } from "../../base/network/proof.ts";
import { BelayError } from "../../base/errors.ts";
import { parseTrackerAddresses, type TrackerAddress } from "../../base/network/tracker-address.ts";
import { translate } from "./errors.ts";
import { TrackerSession } from "./session.ts";

/** Longest wait for the second connection: the user has already waited for the first. Milliseconds. */
const PATIENCE_MS = 2_000;

/**
 * Explains why an agent found no tracker: gRPC's own message for a web server, or for a port that speaks TLS, does not
 * help. Connects again with the client of the commands, whose diagnosis replaces the agent's message.
 *
 * @param waited milliseconds for which the agent tried
 * @returns the error to show
 */
export async function explainUnreachable(
  error: BelayError,
  options: ProofFiles & { readonly tracker: string },
  waited: number,
): Promise<BelayError> {
  let addresses: readonly TrackerAddress[];
  try {
    addresses = parseTrackerAddresses(options.tracker);
  } catch {
    return error;
  }
  const session = new TrackerSession(addresses, () => proofOf(options, CLIENT_FLAGS));
  try {
    // Resolves when there is a connection, or after a silence.
    await within(PATIENCE_MS, session.ready(), () => undefined);
    // The tracker is reachable now, or the agent failed for another reason, or there was no answer at all.
    return error;
  } catch (failure) {
    const { error: found } = await translate(failure, options.tracker);
    return new BelayError(error.code, `${found.message}; gave up after ${formatDuration(waited)}`, { cause: error });
  } finally {
    session.close();
  }
}
