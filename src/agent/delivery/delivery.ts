import { systemClock as clock } from "../../base/clock.ts";
import { LogCompleteness } from "../../gen/belay/v1/job_pb.ts";
import { DEFAULTS } from "../defaults.ts";
import type { AgentOptions, AgentOutcome } from "../options.ts";
import type { Session } from "../session/session.ts";
import type { SessionEnd } from "../session/session-end.ts";

/** Waits until everything is delivered, within the time that the options allow: less once the agent must stop. */
export async function awaitDelivery(
  session: Session,
  ended: Promise<SessionEnd>,
  options: AgentOptions,
): Promise<SessionEnd> {
  const patience = (): number =>
    options.stop?.aborted === true ? stopPatience(options) : (options.flushTimeout ?? DEFAULTS.flushTimeout);
  const abandon = (): void => session.close(session.whyUndelivered(patience()));
  let timer = clock.after(patience(), abandon);
  const restartTimer = (): void => {
    timer.cancel();
    timer = clock.after(patience(), abandon);
  };
  options.stop?.addEventListener("abort", restartTimer, { once: true });
  try {
    return await ended;
  } finally {
    timer.cancel();
    options.stop?.removeEventListener("abort", restartTimer);
  }
}

/** Milliseconds for delivery once the agent must stop. */
function stopPatience({ stopFlushTimeout, flushTimeout = DEFAULTS.flushTimeout }: AgentOptions): number {
  return stopFlushTimeout ?? Math.min(DEFAULTS.stopFlushTimeout, flushTimeout);
}

/** What an outcome says about the end of the session. */
export function deliveryOf(end: SessionEnd): Pick<AgentOutcome, "delivered" | "undelivered"> {
  switch (end.kind) {
    case "delivered": {
      const incomplete = end.receipt?.logCompleteness === LogCompleteness.INCOMPLETE;
      return { delivered: true, undelivered: incomplete ? end.receipt.message : "" };
    }
    case "abandoned":
      return { delivered: false, undelivered: end.why };
    case "refused":
    case "fenced":
    case "unreachable":
      return { delivered: false, undelivered: end.error.message };
  }
}
