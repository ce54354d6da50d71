import { once } from "node:events";
import { createServer as createHttp2Server, constants } from "node:http2";
import type { ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { onTestFinished } from "vitest";
import {
  type Hello,
  OpenSessionRequestSchema,
  OpenSessionResponseSchema,
  WelcomeSchema,
} from "../../src/gen/belay/v1/tracker_service_pb.ts";

/** What is done to a connection by its bytes. */
export type SocketVice = (socket: Socket) => void;

/** What is done to a call by HTTP/2, or to the connection that it is on. */
export type CallVice = (
  stream: ServerHttp2Stream,
  session: ServerHttp2Session,
  socket: Socket,
  hello: Hello | undefined,
) => void;

/** A port whose first connection meets a vice, and all later ones a good tracker. */
export interface BadServer {
  readonly url: string;
  /** When the vice came about, of `performance.now()`. */
  readonly struck: Promise<number>;
}

/** A vice of bytes. */
export async function badSocket(good: string, vice: SocketVice): Promise<BadServer> {
  const turnstile = await Turnstile.open(good);
  return { url: turnstile.url, struck: turnstile.nextSocket(vice) };
}

/** A vice of HTTP/2: the vice gets the call, its headers not yet answered. */
export async function badCall(good: string, vice: CallVice): Promise<BadServer> {
  const turnstile = await Turnstile.open(good);
  return { url: turnstile.url, struck: turnstile.nextCall(vice) };
}

/** A port that leads to a good tracker, but for connections that are to meet a vice. */
export class Turnstile {
  readonly url: string;
  private readonly sockets: Set<Socket>;
  private readonly next: { vice: SocketVice | undefined };

  private constructor(url: string, sockets: Set<Socket>, next: { vice: SocketVice | undefined }) {
    this.url = url;
    this.sockets = sockets;
    this.next = next;
  }

  static async open(good: string): Promise<Turnstile> {
    const sockets = new Set<Socket>();
    const next: { vice: SocketVice | undefined } = { vice: undefined };
    const server = createServer((socket) => {
      sockets.add(socket.on("error", () => undefined));
      socket.once("close", () => sockets.delete(socket));
      const { vice } = next;
      if (vice !== undefined) {
        next.vice = undefined;
        vice(socket);
        return;
      }
      const { hostname, port } = new URL(good);
      const onward = connect(Number(port), hostname);
      sockets.add(onward.on("error", () => undefined));
      socket.pipe(onward).pipe(socket);
      socket.once("close", () => onward.destroy());
      onward.once("close", () => {
        sockets.delete(onward);
        socket.destroy();
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => {
      server.close();
      for (const socket of sockets) socket.destroy();
    });
    return new Turnstile(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, sockets, next);
  }

  /** The next connection meets this. @returns when it did */
  nextSocket(vice: SocketVice): Promise<number> {
    return new Promise((resolve) => {
      this.next.vice = (socket) => {
        vice(socket);
        resolve(performance.now());
      };
    });
  }

  /** The next call meets this, once it has said Hello. @returns when it did */
  nextCall(vice: CallVice): Promise<number> {
    return new Promise((resolve) => {
      this.next.vice = (socket) => {
        const http2 = createHttp2Server();
        http2.on("session", (session) => session.on("error", () => undefined));
        http2.on("stream", (stream) => {
          stream.on("error", () => undefined);
          const session = stream.session;
          if (session === undefined) return;
          stream.once("data", (data: Buffer) => {
            vice(stream, session as ServerHttp2Session, socket, helloIn(data));
            resolve(performance.now());
            stream.resume();
          });
        });
        http2.emit("connection", socket);
      };
    });
  }

  /** Cuts all connections. */
  cut(): void {
    for (const socket of this.sockets) socket.resetAndDestroy();
  }
}

/** Headers of a good answer. */
export const GRPC_HEADERS: Record<string, string | number> = {
  ":status": 200,
  "content-type": "application/grpc+proto",
};

/** A Welcome, as it is on the wire; it confirms just what the agent no longer holds. */
export function welcomeFrame(heartbeatInterval: number, hello?: Hello): Buffer {
  const value = create(WelcomeSchema, {
    attempt: 1,
    heartbeatInterval: durationFromMs(heartbeatInterval),
    committed: { events: before(hello?.lowestEventSequence), logs: before(hello?.lowestLogSequence) },
  });
  const response = create(OpenSessionResponseSchema, { payload: { case: "welcome", value } });
  const body = toBinary(OpenSessionResponseSchema, response);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}

function before(lowestHeld: bigint | undefined): bigint {
  return lowestHeld === undefined || lowestHeld === 0n ? 0n : lowestHeld - 1n;
}

/** The Hello in the first bytes of a call. */
function helloIn(data: Buffer): Hello | undefined {
  const { payload } = fromBinary(OpenSessionRequestSchema, data.subarray(5, 5 + data.readUInt32BE(1)));
  return payload.case === "hello" ? payload.value : undefined;
}

/** Welcomes the call; then strikes, once the agent has sent something more. */
export function afterWelcome(vice: CallVice, interval = 10_000): CallVice {
  return (stream, session, socket, hello) => {
    stream.respond(GRPC_HEADERS, { waitForTrailers: true });
    stream.write(welcomeFrame(interval, hello));
    stream.once("data", () => vice(stream, session, socket, hello));
  };
}

export { constants };
