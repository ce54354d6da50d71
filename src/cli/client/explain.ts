import { formatDuration } from "../../base/durations.ts";
import { BelayError } from "../../base/errors.ts";
import { parseTrackerAddresses, type TrackerAddress } from "../../base/tracker-address.ts";
import { translate } from "./errors.ts";
import type { ClientTls } from "./session.ts";
import { TrackerSession } from "./session.ts";

/**
 * Says why an agent found no tracker: gRPC's own words for a web server, or for a port that speaks TLS, help nobody.
 * Looks once more, in the way of this room, and puts what it finds in place of the agent's message.
 *
 * @param waited milliseconds for which the agent tried
 * @returns the error to show
 */
export async function explainUnreachable(
  error: BelayError,
  tracker: string,
  tls: ClientTls,
  waited: number,
): Promise<BelayError> {
  let addresses: readonly TrackerAddress[];
  try {
    addresses = parseTrackerAddresses(tracker);
  } catch {
    return error;
  }
  const session = new TrackerSession(addresses, tls);
  try {
    await session.ready();
    // It is there now, or it was something else that the agent did not like.
    return error;
  } catch (failure) {
    const { error: found } = await translate(failure, tracker);
    return new BelayError(error.code, `${found.message}; gave up after ${formatDuration(waited)}`, { cause: error });
  } finally {
    session.close();
  }
}
