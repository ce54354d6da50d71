import { existsSync, statSync, unlinkSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import type { Http2SecureServer, Http2Server, ServerHttp2Session } from "node:http2";
import { createSecureServer, createServer as createHttp2Server } from "node:http2";
import type { AddressInfo, Server, Socket } from "node:net";
import { connect, createServer } from "node:net";
import type { Clock } from "../../base/clock.ts";
import { sleep } from "../../base/clock.ts";
import { BelayError, errnoOf, messageOf } from "../../base/errors.ts";
import { MiB } from "../../base/sizes.ts";
import type { TrackerTls } from "../options.ts";
import type { ListenAddress } from "./address.ts";
import type { AnyRequest, AnyResponse } from "./handler.ts";
import { peekProtocol } from "./protocol.ts";

/** Flow control of one stream. Larger hurts slow links, where a command waits behind what is under way. */
const STREAM_WINDOW_BYTES: number = 1 * MiB;
/** Flow control of one connection, so that one stream does not stop the others. */
const CONNECTION_WINDOW_BYTES: number = 4 * MiB;
/** Calls under way on one connection. */
const MAX_STREAMS = 1024;
/** Time for the headers of an HTTP/1.1 request. */
const HEADERS_TIMEOUT_MS = 10_000;

/** One port that serves HTTP/2 and HTTP/1.1. */
export interface Listener {
  /** As `Tracker.address`. */
  readonly address: string;
  /** Takes no more connections, and gives those there are some time to end. */
  close(timeoutMs: number): Promise<void>;
}

/**
 * Listens.
 *
 * @throws BelayError `ADDRESS_IN_USE`, or `BAD_USAGE` for an address that cannot be had
 */
export async function listen(
  address: ListenAddress,
  tls: TrackerTls | undefined,
  handle: (request: AnyRequest, response: AnyResponse) => void,
  clock: Clock,
): Promise<Listener> {
  const sockets = new Set<Socket>();
  const sessions = new Set<ServerHttp2Session>();
  const port = tls === undefined ? plaintext(handle, sessions, clock) : secure(tls, handle, sessions);
  port.server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.once("close", () => sockets.delete(socket));
  });
  if (address.kind === "unix") await removeStale(address.path);
  await bind(port.server, address);
  return {
    address: shown(port.server, address, tls !== undefined),
    close: async (timeoutMs) => {
      const closed = new Promise<void>((resolve) => port.server.close(() => resolve()));
      // GOAWAY: calls under way may end, no new ones come.
      for (const session of sessions) session.close();
      port.closeIdle();
      await Promise.race([closed, sleep(timeoutMs)]);
      await new Promise((resolve) => setImmediate(resolve));
      for (const session of sessions) session.destroy();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

interface Port {
  readonly server: Server | Http2SecureServer;
  closeIdle(): void;
}

const settings = { initialWindowSize: STREAM_WINDOW_BYTES, maxConcurrentStreams: MAX_STREAMS };

function plaintext(
  handle: (request: AnyRequest, response: AnyResponse) => void,
  sessions: Set<ServerHttp2Session>,
  clock: Clock,
): Port {
  const http1 = createHttpServer({ headersTimeout: HEADERS_TIMEOUT_MS, noDelay: true }, handle);
  const http2 = createHttp2Server({ settings }, handle);
  keepSessions(http2, sessions);
  const server = createServer({ noDelay: true }, (socket) => {
    peekProtocol(socket, clock, (protocol) => (protocol === "http2" ? http2 : http1).emit("connection", socket));
  });
  return { server, closeIdle: () => http1.closeIdleConnections() };
}

function secure(
  tls: TrackerTls,
  handle: (request: AnyRequest, response: AnyResponse) => void,
  sessions: Set<ServerHttp2Session>,
): Port {
  const { cert, key, clientCa } = tls;
  const client = clientCa === undefined ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true };
  try {
    const server = createSecureServer(
      { cert, key, ...client, allowHTTP1: true, settings, minVersion: "TLSv1.2" },
      handle,
    );
    keepSessions(server, sessions);
    return { server, closeIdle: () => undefined };
  } catch (error) {
    throw new BelayError("BAD_USAGE", `Cannot use the TLS certificate or key: ${messageOf(error)}`, { cause: error });
  }
}

function keepSessions(server: Http2Server | Http2SecureServer, sessions: Set<ServerHttp2Session>): void {
  server.on("session", (session) => {
    sessions.add(session);
    session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
    session.once("close", () => sessions.delete(session));
    // A broken connection ends its calls; nothing else is to be done about it.
    session.on("error", () => undefined);
  });
}

function bind(server: Port["server"], address: ListenAddress): Promise<void> {
  const where = address.kind === "unix" ? `unix:${address.path}` : `${address.host}:${address.port}`;
  return new Promise((resolve, reject) => {
    server.on("error", (error: Error) => {
      const taken = errnoOf(error) === "EADDRINUSE";
      const message = taken
        ? `Cannot listen on ${where}: another program is listening there`
        : `Cannot listen on ${where}: ${messageOf(error)}`;
      reject(new BelayError(taken ? "ADDRESS_IN_USE" : "BAD_USAGE", message, { cause: error }));
    });
    if (address.kind === "unix") server.listen(address.path, resolve);
    else server.listen(address.port, address.host, resolve);
  });
}

function shown(server: Port["server"], address: ListenAddress, tls: boolean): string {
  if (address.kind === "unix") return `unix:${address.path}`;
  const { port } = server.address() as AddressInfo;
  const host = address.host.includes(":") ? `[${address.host}]` : address.host;
  return `${tls ? "https" : "http"}://${host}:${port}`;
}

/** A socket file that nobody answers at was left by a process that was killed. */
async function removeStale(path: string): Promise<void> {
  if (!existsSync(path) || !statSync(path).isSocket()) return;
  const alive = await new Promise<boolean>((resolve) => {
    const probe = connect(path);
    probe.once("connect", () => resolve(true));
    probe.once("error", () => resolve(false));
    probe.once("close", () => probe.destroy());
    probe.once("connect", () => probe.destroy());
  });
  if (!alive) unlinkSync(path);
}
