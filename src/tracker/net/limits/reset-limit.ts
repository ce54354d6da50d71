import type { ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import { constants } from "node:http2";
import type { Clock } from "../../../base/clock.ts";
import type { Logger } from "../../../base/logger.ts";
import { RateLimit } from "./rate-limit.ts";

/**
 * Calls that the other side of one connection may break off in a second; twice as many at once. A backend whose
 * thousand pages each end a watch every second stays below. More is an attack (CVE-2023-44487) or a loop.
 */
export const RESETS_PER_SECOND = 1000;

/**
 * Node's own limit, which is not documented: it drops the connection with INTERNAL_ERROR after a thousand resets and 33
 * more a second. This one is out of reach; ours says what happened.
 */
export const NO_RESET_LIMIT: { readonly streamResetBurst: number; readonly streamResetRate: number } = {
  streamResetBurst: 1_000_000,
  streamResetRate: 1_000_000,
};

/** Closes a connection whose calls are broken off too often, with ENHANCE_YOUR_CALM, and says so in the log. */
export function limitResets(session: ServerHttp2Session, clock: Clock, logger: Logger): void {
  const rate = new RateLimit(clock, RESETS_PER_SECOND);
  let closing = false;
  session.on("stream", (stream: ServerHttp2Stream) => {
    stream.once("aborted", () => {
      if (rate.take("") === 0 || closing) return;
      closing = true;
      logger.warn("A connection was closed: too many of its calls were broken off", {
        from: session.socket?.remoteAddress ?? "a local socket",
        limit: `${RESETS_PER_SECOND} a second`,
      });
      session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM);
      // Not within the stream's own turn, see `cut` in caller.ts.
      setImmediate(() => session.destroy());
    });
  });
}
