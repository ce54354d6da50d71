import { once } from "node:events";
import { createServer as createHttp2Server } from "node:http2";
import type { Http2Server, ServerHttp2Session } from "node:http2";
import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { onTestFinished } from "vitest";
import { OpenSessionResponseSchema, WelcomeSchema } from "../../src/gen/belay/v1/tracker_service_pb.ts";
import { type CallVice, GRPC_HEADERS, type SocketVice } from "./vices.ts";

/** A port on which the first connection meets a fault, and all later ones a good tracker. */
export interface BadServer {
  readonly url: string;
  /** When the fault happened, by `performance.now()`. */
  readonly faultTime: Promise<number>;
}

/** A fault of the socket, as soon as there is a connection. */
export async function badConnection(good: string, vice: SocketVice): Promise<BadServer> {
  const faultTime = Promise.withResolvers<number>();
  return serve(good, faultTime.promise, (socket) => {
    vice(socket);
    faultTime.resolve(performance.now());
  });
}

/** A fault of the socket, after the first bytes. */
export async function badSocket(good: string, vice: SocketVice): Promise<BadServer> {
  const faultTime = Promise.withResolvers<number>();
  return serve(good, faultTime.promise, (socket) => {
    socket.once("data", () => {
      vice(socket);
      faultTime.resolve(performance.now());
    });
  });
}

/** A fault of HTTP/2. The fault gets the call before its headers are answered. */
export async function badCall(good: string, vice: CallVice): Promise<BadServer> {
  const faultTime = Promise.withResolvers<number>();
  let socket: Socket;
  const http2: Http2Server = createHttp2Server();
  http2.on("session", (session) => session.on("error", () => undefined));
  http2.on("stream", (stream) => {
    stream.on("error", () => undefined);
    const session = stream.session;
    if (session === undefined) return;
    // The call has sent Hello.
    stream.once("data", () => {
      vice(stream, session as ServerHttp2Session, socket);
      faultTime.resolve(performance.now());
      stream.resume();
    });
  });
  return serve(good, faultTime.promise, (taken) => {
    socket = taken;
    http2.emit("connection", taken);
  });
}

async function serve(good: string, faultTime: Promise<number>, first: SocketVice): Promise<BadServer> {
  let taken = 0;
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on("error", () => undefined));
    if (taken++ === 0) {
      first(socket);
      return;
    }
    const { hostname, port } = new URL(good);
    const onward = connect(Number(port), hostname);
    sockets.add(onward.on("error", () => undefined));
    socket.pipe(onward).pipe(socket);
    socket.once("close", () => onward.destroy());
    onward.once("close", () => socket.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, faultTime };
}

/** A Welcome, as it is on the wire. */
export function welcomeFrame(heartbeatInterval: number): Buffer {
  const value = create(WelcomeSchema, { attempt: 1, heartbeatInterval: durationFromMs(heartbeatInterval) });
  const response = create(OpenSessionResponseSchema, { payload: { case: "welcome", value } });
  const body = toBinary(OpenSessionResponseSchema, response);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}

/** Answers the call with Welcome; the fault happens when the agent has sent something more. */
export function onceWelcomed(vice: CallVice, interval = 10_000): CallVice {
  return (stream, session, socket) => {
    stream.respond(GRPC_HEADERS, { waitForTrailers: true });
    stream.write(welcomeFrame(interval));
    stream.once("data", () => vice(stream, session, socket));
  };
}
