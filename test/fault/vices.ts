import { constants } from "node:http2";
import type { ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";

/** A fault of a connection's socket. */
export type SocketVice = (socket: Socket) => void;

/** A fault of a call, or of its connection, by means of HTTP/2. */
export type CallVice = (stream: ServerHttp2Stream, session: ServerHttp2Session, socket: Socket) => void;

/** Headers of a good answer. */
export const GRPC_HEADERS: Record<string, string | number> = {
  ":status": 200,
  "content-type": "application/grpc+proto",
};

/** A fault: its name, the function that causes it, and what the agent must report. */
export type Vice<Does> = readonly [name: string, does: Does, why: RegExp];

/** Every way in which a stream can end. First the faults of a connection as soon as it is made. */
export const onConnect: readonly Vice<SocketVice>[] = [
  ["FIN at once", (socket) => socket.end(), /./],
  ["RST at once", (socket) => socket.resetAndDestroy(), /./],
];

const html = "<html><body>Sign in to the network</body></html>";

/** Faults of a connection after the first bytes. */
export const onFirstBytes: readonly Vice<SocketVice>[] = [
  ["RST after the first bytes", (socket) => socket.resetAndDestroy(), /./],
  ["FIN after the first bytes", (socket) => socket.end(), /./],
  [
    "a server of HTTP/1.1 only",
    (socket) => socket.end("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
    /does not speak HTTP\/2/,
  ],
  [
    "a proxy of HTTP/1.1 that answers 200 text/html",
    (socket) =>
      socket.end(`HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: ${html.length}\r\n\r\n${html}`),
    /does not speak HTTP\/2/,
  ],
  // A fatal alert, unexpected_message.
  ["a server of TLS only", (socket) => socket.end(Buffer.from([0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x0a])), /./],
  ["random bytes", (socket) => socket.end(Buffer.alloc(4096, 0xa5)), /does not speak HTTP\/2/],
];

/** Faults of a call that has sent Hello, before any answer. */
export const beforeWelcome: readonly Vice<CallVice>[] = [
  [
    "END_STREAM without gRPC headers",
    (stream) => stream.respond({ ":status": 200 }, { endStream: true }),
    /answered with HTTP status 200/,
  ],
  ["a proxy's 502", (stream) => stream.respond({ ":status": 502 }, { endStream: true }), /502/],
  ["a proxy's 429", (stream) => stream.respond({ ":status": 429 }, { endStream: true }), /429/],
  [
    "a proxy's 200 text/html",
    (stream) => {
      stream.respond({ ":status": 200, "content-type": "text/html" });
      stream.end(html);
    },
    /answered with text\/html: is there a tracker behind it\?/,
  ],
  ["RST_STREAM without headers", (stream) => stream.close(constants.NGHTTP2_INTERNAL_ERROR), /INTERNAL_ERROR/],
  ["RST_STREAM REFUSED_STREAM", (stream) => stream.close(constants.NGHTTP2_REFUSED_STREAM), /REFUSED_STREAM/],
  [
    "headers, then RST_STREAM",
    (stream) => {
      stream.respond(GRPC_HEADERS);
      setImmediate(() => stream.close(constants.NGHTTP2_CANCEL));
    },
    /CANCEL/,
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
    /ENHANCE_YOUR_CALM/,
  ],
];

/** Faults of a call after Welcome; its answer was begun with `waitForTrailers`. */
export const afterWelcome: readonly Vice<CallVice>[] = [
  ["RST_STREAM NO_ERROR", (stream) => stream.close(constants.NGHTTP2_NO_ERROR), /./],
  ["trailers with OK", (stream) => endWith(stream, "0"), /^lost: The tracker ended the stream$/],
  ["trailers with UNAVAILABLE", (stream) => endWith(stream, "14"), /because/],
  ["trailers with INTERNAL", (stream) => endWith(stream, "13"), /because/],
  ["trailers with UNAUTHENTICATED", (stream) => endWith(stream, "16"), /because/],
  ["trailers with PERMISSION_DENIED", (stream) => endWith(stream, "7"), /because/],
  ["trailers with NOT_FOUND", (stream) => endWith(stream, "5"), /because/],
  ["trailers with UNIMPLEMENTED", (stream) => endWith(stream, "12"), /because/],
  ["trailers with OUT_OF_RANGE", (stream) => endWith(stream, "11"), /because/],
  ["trailers with an unknown code", (stream) => endWith(stream, "77"), /because/],
  ["RST_STREAM CANCEL", (stream) => stream.close(constants.NGHTTP2_CANCEL), /CANCEL/],
  ["RST_STREAM INTERNAL_ERROR", (stream) => stream.close(constants.NGHTTP2_INTERNAL_ERROR), /INTERNAL_ERROR/],
  ["RST_STREAM ENHANCE_YOUR_CALM", (stream) => stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM), /ENHANCE_YOUR_CALM/],
  [
    "a message that is not protobuf",
    (stream) => stream.write(Buffer.from([0, 0, 0, 0, 3, 0xff, 0xff, 0xff])),
    /parsing error/,
  ],
  [
    "a message of 4 GiB, according to its header",
    (stream) => stream.write(Buffer.from([0, 0xff, 0xff, 0xff, 0xff])),
    /4294967295/,
  ],
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

/** A fault that only silence shows: grpc-js emits no event for it while our direction is open. */
export function endWithoutTrailers(stream: ServerHttp2Stream): void {
  // No trailers make an empty DATA frame with END_STREAM.
  stream.once("wantTrailers", () => stream.sendTrailers({}));
  stream.end();
}

/** Ends a call with a status. */
export function endWith(stream: ServerHttp2Stream, code: string): void {
  stream.once("wantTrailers", () => stream.sendTrailers({ "grpc-status": code, "grpc-message": "because" }));
  stream.end();
}
