import { once } from "node:events";
import { connect as connectHttp2, constants, performServerHandshake } from "node:http2";
import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { onTestFinished } from "vitest";
import type { CallVice, SocketVice } from "./vices.ts";

/** A fault for new connections, or for the calls on them. */
export type ArmedFault =
  | { readonly at: "connection" | "first bytes"; readonly does: SocketVice }
  | { readonly at: "call"; readonly does: CallVice };

/** A call that is passed on, from the answer's headers to its end. */
interface LiveCall {
  readonly stream: ServerHttp2Stream;
  readonly session: ServerHttp2Session;
  readonly socket: Socket;
  /** Stops passing data in both directions; the stream to the tracker stays open. */
  readonly stopPassing: () => void;
}

/**
 * Passes calls on to a good tracker, message by message, as an HTTP/2 proxy does, and causes the faults that a test
 * asks for: in a call under way, or in the next connection or call.
 */
export class FaultProxy {
  readonly url: string;
  private readonly server: Server;
  private readonly good: string;
  private readonly sockets = new Set<Socket>();
  private armed: ArmedFault | undefined;
  private onFault: () => void = () => undefined;
  private live: LiveCall | undefined;

  private constructor(server: Server, good: string) {
    const { address, port } = server.address() as AddressInfo;
    this.url = `http://${address}:${port}`;
    this.server = server;
    this.good = good;
    server.on("connection", (socket) => this.take(socket));
  }

  static async open(good: string): Promise<FaultProxy> {
    const server = createServer({ noDelay: true });
    // Its own address: no other program gets the port while this one does not listen.
    server.listen(0, "127.42.0.1");
    await once(server, "listening");
    const proxy = new FaultProxy(server, good);
    onTestFinished(() => {
      server.close();
      proxy.cut();
    });
    return proxy;
  }

  /** Causes a fault in every connection or call from now on, until `disarm`. @param onFault called for each of them */
  arm(armed: ArmedFault, onFault: () => void): void {
    this.armed = armed;
    this.onFault = onFault;
  }

  disarm(): void {
    this.armed = undefined;
  }

  /** Resets all connections. */
  cut(): void {
    for (const socket of this.sockets) socket.resetAndDestroy();
  }

  /** Causes a fault in the call under way. */
  injectFault(does: CallVice): void {
    const { live } = this;
    if (live === undefined) throw new Error("No call is being passed on");
    this.live = undefined;
    live.stopPassing();
    does(live.stream, live.session, live.socket);
  }

  /** Behaves as without a tracker's process: connections are reset, and new ones refused. */
  goAway(): void {
    this.server.close();
    this.cut();
  }

  comeBack(): void {
    const { hostname, port } = new URL(this.url);
    this.server.listen(Number(port), hostname);
  }

  private take(socket: Socket): void {
    this.sockets.add(socket.on("error", () => undefined));
    socket.once("close", () => this.sockets.delete(socket));
    const { armed } = this;
    if (armed?.at === "connection") {
      armed.does(socket);
      this.onFault();
    } else if (armed?.at === "first bytes") {
      socket.once("data", () => {
        armed.does(socket);
        this.onFault();
      });
    } else {
      const session: ServerHttp2Session = performServerHandshake(socket);
      session.on("error", () => undefined);
      session.on("stream", (stream, headers) => this.call({ stream, session, socket }, headers));
    }
  }

  private call(call: Omit<LiveCall, "stopPassing">, headers: IncomingHttpHeaders): void {
    const { stream, session, socket } = call;
    stream.on("error", () => undefined);
    const { armed } = this;
    if (armed?.at !== "call") {
      this.passOn(call, headers);
      return;
    }
    // The call has sent Hello.
    stream.once("data", () => {
      armed.does(stream, session, socket);
      this.onFault();
      stream.resume();
    });
  }

  private passOn(call: Omit<LiveCall, "stopPassing">, headers: IncomingHttpHeaders): void {
    const { stream, socket } = call;
    const onward = connectHttp2(this.good);
    onward.on("error", () => socket.destroy());
    socket.once("close", () => onward.destroy());
    const up = onward.request({ ...headers });
    up.on("error", () => undefined);
    let trailers: IncomingHttpHeaders = {};
    const sendTrailers = (): void => stream.sendTrailers(trailers);
    up.on("trailers", (sent) => (trailers = sent));
    up.once("response", (answer, flags) => {
      const over = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
      stream.respond(answer, over ? { endStream: true } : { waitForTrailers: true });
      if (over) return;
      stream.once("wantTrailers", sendTrailers);
      up.pipe(stream);
      this.live = {
        ...call,
        stopPassing: () => {
          stream.off("wantTrailers", sendTrailers);
          stream.unpipe(up);
          up.unpipe(stream);
          stream.resume();
          up.resume();
        },
      };
    });
    stream.pipe(up);
    stream.once("close", () => {
      if (this.live?.stream === stream) this.live = undefined;
      up.close(constants.NGHTTP2_CANCEL);
    });
  }
}
