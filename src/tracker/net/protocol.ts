import type { Socket } from "node:net";
import type { Clock } from "../../base/clock.ts";

/** Every HTTP/2 connection without TLS begins with it (RFC 9113, section 3.4). */
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
/**
 * Looks at the first bytes of a connection, as few as decide, and puts them back.
 *
 * @param timeout milliseconds for these bytes
 * @param decided called with the protocol. Not called for a connection that ends or is silent: that one is closed
 */
export function peekProtocol(
  socket: Socket,
  clock: Clock,
  timeout: number,
  decided: (protocol: "http2" | "http1") => void,
): void {
  let seen = Buffer.alloc(0);
  const timer = clock.after(timeout, () => socket.destroy());
  const stopListening = (): void => {
    timer.cancel();
    socket.off("readable", readPreface);
    socket.off("error", close);
    socket.off("end", close);
    socket.off("close", stopListening);
  };
  const close = (): void => {
    stopListening();
    socket.destroy();
  };
  socket.on("readable", readPreface);
  socket.on("error", close);
  socket.on("end", close);
  socket.on("close", stopListening);

  function readPreface(): void {
    const more = socket.read() as Buffer | null;
    if (more === null) return;
    seen = Buffer.concat([seen, more]);
    const length = Math.min(seen.length, PREFACE.length);
    const isHttp2 = seen.subarray(0, length).equals(PREFACE.subarray(0, length));
    if (isHttp2 && seen.length < PREFACE.length) return;
    stopListening();
    socket.unshift(seen);
    decided(isHttp2 ? "http2" : "http1");
  }
}
