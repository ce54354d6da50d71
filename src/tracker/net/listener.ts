import { createServer as createHttpServer } from "node:http";
import type { Http2SecureServer, Http2Server, ServerHttp2Session, Settings } from "node:http2";
import { createSecureServer, createServer as createHttp2Server } from "node:http2";
import type { Server, Socket } from "node:net";
import { createServer } from "node:net";
import type { SecureContextOptions } from "node:tls";
import { checkProof } from "../../base/network/certificates.ts";
import type { Clock } from "../../base/clock.ts";
import { sleep } from "../../base/clock.ts";
import { BelayError, messageOf } from "../../base/errors.ts";
import type { ListenAddress } from "../../base/network/listen.ts";
import { bind, hostAndPortOf } from "../../base/network/listen.ts";
import { MiB } from "../../base/text/sizes.ts";
import type { Logger } from "../../base/logger.ts";
import type { TrackerLimits, TrackerTls } from "../options.ts";
import { CallsUnderWay } from "./limits/calls-under-way.ts";
import { closeWhenIdle } from "./idle.ts";
import type { AnyRequest, AnyResponse } from "./http.ts";
import { peekProtocol } from "./protocol.ts";
import { limitResets, NO_RESET_LIMIT } from "./limits/reset-limit.ts";

/** Flow control of one stream. Larger hurts slow links, where a command waits behind what is under way. */
const STREAM_WINDOW_BYTES: number = 1 * MiB;
/** Flow control of one connection, so that one stream does not stop the others. */
const CONNECTION_WINDOW_BYTES: number = 4 * MiB;
/** How often Node looks for HTTP/1.1 requests that take too long. */
const CHECK_INTERVAL_MS = 1_000;
/** Silence after which the kernel probes the other side; after about ten probes without an answer, it is gone. */
const KEEP_ALIVE_MS = 30_000;
/** Time for the last bytes of calls that have ended to leave, before their connections are cut. */
const LAST_BYTES_MS = 100;
/** Time between two log lines about refused connections. */
const REMARK_INTERVAL_MS = 10_000;

/** One port that serves HTTP/2 and HTTP/1.1. */
export interface Listener {
  /** As `Tracker.address`. */
  readonly address: string;
  /** Connections that are open. */
  readonly connections: number;
  /** Has connections from now on see these certificates. @throws BelayError `BAD_USAGE` */
  replaceTls(tls: TrackerTls): void;
  /**
   * Takes no more connections, and gives calls under way some time to end. A connection without a call, or with half of
   * a request, is not waited for.
   */
  close(timeoutMs: number): Promise<void>;
}

/**
 * Listens.
 *
 * @throws BelayError `ADDRESS_IN_USE`, or `BAD_USAGE` for an address on which it cannot listen
 */
export async function listen(
  address: ListenAddress,
  handle: (request: AnyRequest, response: AnyResponse) => void,
  context: ListenContext,
): Promise<Listener> {
  const { tls, limits, clock, logger } = context;
  const sockets = new Set<Socket>();
  const sessions = new Set<ServerHttp2Session>();
  const calls = new CallsUnderWay();
  const answer = calls.counted(handle);
  const port = tls === undefined ? plaintext(answer, sessions, context) : secure(tls, answer, sessions, context);
  port.server.maxConnections = limits.connections;
  let refused = 0;
  port.server.on("drop", () => {
    context.dropped();
    if (refused++ > 0) return;
    clock.after(REMARK_INTERVAL_MS, () => {
      logger.warn("Connections were refused: too many are open", { refused, limit: limits.connections });
      refused = 0;
    });
  });
  port.server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    socket.once("close", () => sockets.delete(socket));
  });
  await bind(port.server, address);
  return {
    address: shown(port.server, address, tls !== undefined),
    get connections() {
      return sockets.size;
    },
    replaceTls: (changed) => port.replaceTls(changed),
    close: async (timeoutMs) => {
      const closed = new Promise<void>((resolve) => port.server.close(() => resolve()));
      // GOAWAY: calls under way may end, no new ones come.
      for (const session of sessions) session.close();
      port.close();
      const waiting = new AbortController();
      const callsOver = calls.whenNone().then(() => sleep(LAST_BYTES_MS, waiting.signal));
      await Promise.race([closed, callsOver, sleep(timeoutMs, waiting.signal)]);
      // A timer that is left would keep the process alive.
      waiting.abort();
      await new Promise((resolve) => setImmediate(resolve));
      for (const session of sessions) session.destroy();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

interface Port {
  readonly server: Server | Http2SecureServer;
  /** Closes idle connections, and releases what else belongs to the port. */
  close(): void;
  replaceTls(tls: TrackerTls): void;
}

/** The dependencies and settings of a listener. */
export interface ListenContext {
  readonly tls: TrackerTls | undefined;
  readonly limits: TrackerLimits;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called for each connection above the limit. */
  dropped(): void;
}

function settingsOf(limits: TrackerLimits): Settings {
  return { initialWindowSize: STREAM_WINDOW_BYTES, maxConcurrentStreams: limits.streams };
}

function plaintext(
  handle: (request: AnyRequest, response: AnyResponse) => void,
  sessions: Set<ServerHttp2Session>,
  context: ListenContext,
): Port {
  const { limits } = context;
  const { headersTimeout, requestTimeout } = limits;
  const http1 = createHttpServer(
    { headersTimeout, requestTimeout, connectionsCheckingInterval: CHECK_INTERVAL_MS, noDelay: true },
    handle,
  );
  // It never listens itself, and Node starts to look for slow requests only with this event.
  http1.emit("listening");
  const http2 = createHttp2Server({ settings: settingsOf(limits), ...NO_RESET_LIMIT }, handle);
  keepSessions(http2, sessions, context);
  const server = createServer({ noDelay: true }, (socket) => {
    peekProtocol(socket, context.clock, headersTimeout, (protocol) => {
      (protocol === "http2" ? http2 : http1).emit("connection", socket);
    });
  });
  return {
    server,
    // Ends the look-out for slow requests, too.
    close: () => http1.close().closeIdleConnections(),
    replaceTls: () => undefined,
  };
}

function secure(
  tls: TrackerTls,
  handle: (request: AnyRequest, response: AnyResponse) => void,
  sessions: Set<ServerHttp2Session>,
  context: ListenContext,
): Port {
  const { limits } = context;
  const { headersTimeout, requestTimeout } = limits;
  const client = tls.clientCa === undefined ? {} : { requestCert: true, rejectUnauthorized: true };
  const options = {
    ...secrets(tls),
    ...client,
    allowHTTP1: true,
    settings: settingsOf(limits),
    ...NO_RESET_LIMIT,
    handshakeTimeout: headersTimeout,
    headersTimeout,
    requestTimeout,
    connectionsCheckingInterval: CHECK_INTERVAL_MS,
  };
  const server = readable(() => createSecureServer(options, handle));
  keepSessions(server, sessions, context);
  return {
    server,
    close: () => undefined,
    replaceTls: (changed) => readable(() => server.setSecureContext(secrets(changed))),
  };
}

/** @throws BelayError `BAD_USAGE` */
function secrets({ cert, key, clientCa }: TrackerTls): SecureContextOptions {
  checkProof({
    cert: { contents: cert, name: "the TLS certificate" },
    key: { contents: key, name: "the TLS key" },
    ...(clientCa !== undefined && { ca: { contents: clientCa, name: "the clients' authorities" } }),
  });
  return { cert, key, minVersion: "TLSv1.2", ...(clientCa === undefined ? {} : { ca: clientCa }) };
}

/** What the checks before have not found. */
function readable<T>(use: () => T): T {
  try {
    return use();
  } catch (error) {
    if (error instanceof BelayError) throw error;
    throw new BelayError("BAD_USAGE", `Cannot use the TLS certificate or key: ${messageOf(error)}`, { cause: error });
  }
}

function keepSessions(
  server: Http2Server | Http2SecureServer,
  sessions: Set<ServerHttp2Session>,
  { limits, clock, logger }: ListenContext,
): void {
  server.on("session", (session) => {
    sessions.add(session);
    limitResets(session, clock, logger);
    session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
    closeWhenIdle(session, clock, limits.requestTimeout);
    session.once("close", () => sessions.delete(session));
    // A broken connection ends its calls, so its error needs no handling.
    session.on("error", () => undefined);
  });
}

function shown(server: Port["server"], address: ListenAddress, tls: boolean): string {
  if (address.kind === "unix") return `unix:${address.path}`;
  // URLs have no zone; on another machine it would mean nothing.
  const host = address.host.replace(/%.*$/, "");
  return `${tls ? "https" : "http"}://${hostAndPortOf(server, host)}`;
}
