import { constants, GRPC_HEADERS } from "./bad-server.ts";
import type { CallVice, SocketVice } from "./bad-server.ts";

/** Every way in which a stream can end: its name, what does it, and what the agent must say of it. */

const html = "<html><body>Sign in to the network</body></html>";

/** By bytes, before anything is said. */
export const bytes: [string, SocketVice, RegExp][] = [
  ["FIN at once", (socket) => socket.end(), /./],
  ["RST at once", (socket) => socket.resetAndDestroy(), /./],
  ["RST after the first bytes", (socket) => socket.once("data", () => socket.resetAndDestroy()), /./],
  ["FIN after the first bytes", (socket) => socket.once("data", () => socket.end()), /./],
  [
    "a server of HTTP/1.1 only",
    (socket) => socket.once("data", () => socket.end("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")),
    /./,
  ],
  [
    "a proxy of HTTP/1.1 that answers 200 text/html",
    (socket) =>
      socket.once("data", () => {
        socket.end(`HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: ${html.length}\r\n\r\n${html}`);
      }),
    /./,
  ],
  ["random bytes", (socket) => socket.once("data", () => socket.end(Buffer.alloc(4096, 0xa5))), /./],
];

/** By HTTP/2, before Welcome. */
export const early: [string, CallVice, RegExp][] = [
  ["END_STREAM without headers of gRPC", (stream) => stream.respond({ ":status": 200 }, { endStream: true }), /./],
  ["a proxy's 502", (stream) => stream.respond({ ":status": 502 }, { endStream: true }), /502/],
  ["a proxy's 429", (stream) => stream.respond({ ":status": 429 }, { endStream: true }), /429/],
  [
    "a proxy's 200 text/html",
    (stream) => {
      stream.respond({ ":status": 200, "content-type": "text/html" });
      stream.end(html);
    },
    /./,
  ],
  ["RST_STREAM without headers", (stream) => stream.close(constants.NGHTTP2_INTERNAL_ERROR), /./],
  ["RST_STREAM REFUSED_STREAM", (stream) => stream.close(constants.NGHTTP2_REFUSED_STREAM), /./],
  [
    "headers, then RST_STREAM",
    (stream) => {
      stream.respond(GRPC_HEADERS);
      setImmediate(() => stream.close(constants.NGHTTP2_CANCEL));
    },
    /./,
  ],
  [
    "GOAWAY before the answer",
    (_, session) => {
      session.goaway(constants.NGHTTP2_NO_ERROR);
      setImmediate(() => session.destroy());
    },
    /./,
  ],
  [
    "GOAWAY too_many_pings",
    (_, session) => session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM, 0, Buffer.from("too_many_pings")),
    /./,
  ],
];

/** By HTTP/2 or the connection, after Welcome. */
export const late: [string, CallVice, RegExp][] = [
  ["RST_STREAM NO_ERROR", (stream) => stream.close(constants.NGHTTP2_NO_ERROR), /./],
  ["trailers with OK", (stream) => endWith(stream, "0"), /^lost: The tracker ended the stream$/],
  ["trailers with UNAVAILABLE", (stream) => endWith(stream, "14"), /./],
  ["trailers with UNAUTHENTICATED", (stream) => endWith(stream, "16"), /./],
  ["trailers with PERMISSION_DENIED", (stream) => endWith(stream, "7"), /./],
  ["trailers with NOT_FOUND", (stream) => endWith(stream, "5"), /./],
  ["trailers with UNIMPLEMENTED", (stream) => endWith(stream, "12"), /./],
  ["trailers with OUT_OF_RANGE", (stream) => endWith(stream, "11"), /./],
  ["trailers with a code that nobody knows", (stream) => endWith(stream, "77"), /./],
  ["RST_STREAM CANCEL", (stream) => stream.close(constants.NGHTTP2_CANCEL), /./],
  ["RST_STREAM INTERNAL_ERROR", (stream) => stream.close(constants.NGHTTP2_INTERNAL_ERROR), /./],
  ["RST_STREAM ENHANCE_YOUR_CALM", (stream) => stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM), /./],
  ["a message that is no protobuf", (stream) => stream.write(Buffer.from([0, 0, 0, 0, 3, 0xff, 0xff, 0xff])), /./],
  ["a message of 4 GiB, as its head says", (stream) => stream.write(Buffer.from([0, 0xff, 0xff, 0xff, 0xff])), /./],
  [
    "GOAWAY that cuts the live stream",
    (_, session) => {
      session.goaway(constants.NGHTTP2_INTERNAL_ERROR, 0);
      session.destroy();
    },
    /./,
  ],
  ["FIN", (_stream, _session, socket) => socket.end(), /./],
  ["RST", (_stream, _session, socket) => socket.resetAndDestroy(), /./],
  ["the session's destruction", (_, session) => session.destroy(), /./],
];

/** Ends a call with a status. */
export function endWith(stream: Parameters<CallVice>[0], code: string): void {
  stream.once("wantTrailers", () => stream.sendTrailers({ "grpc-status": code, "grpc-message": "because" }));
  stream.end();
}
