import type { ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { Clock } from "../../base/clock.ts";

/** Time that a client has to react to GOAWAY. */
const GRACE_MS = 1_000;

/**
 * Closes an HTTP/2 connection on which no call has been under way for some time. A client that still wants it opens
 * another one with its next call; a client that makes no calls, or has vanished, does not keep it open for ever.
 */
export function closeWhenIdle(session: ServerHttp2Session, clock: Clock, ms: number): void {
  let calls = 0;
  let timer = clock.after(ms, end);
  session.on("stream", (stream: ServerHttp2Stream) => {
    if (!session.closed) timer.cancel();
    calls++;
    stream.once("close", () => {
      if (--calls > 0 || session.destroyed) return;
      timer.cancel();
      timer = clock.after(ms, end);
    });
  });
  session.once("close", () => timer.cancel());

  function end(): void {
    if (calls > 0) return;
    session.close();
    // For a client that does not react to GOAWAY.
    timer = clock.after(GRACE_MS, () => session.destroy());
  }
}
