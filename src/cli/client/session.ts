import type { ClientHttp2Session, ClientHttp2Stream, OutgoingHttpHeaders } from "node:http2";
import http2 from "node:http2";
import net from "node:net";
import tls from "node:tls";
import { BelayError } from "../../base/errors.ts";
import type { Proof } from "../../base/network/proof.ts";
import { MiB } from "../../base/text/sizes.ts";
import { connectThroughProxy } from "../../base/network/proxy.ts";
import { authorityOf, type TrackerAddress } from "../../base/network/tracker-address.ts";

/** Origin of all requests, whichever address the connection goes to. */
export const ORIGIN = "http://tracker";

/** Longest wait for one address to show that it speaks HTTP/2. */
const CONNECT_TIMEOUT_MS = 10_000;
/** Time between two pings while calls are open, so that a follower of a silent job notices a dead network. */
const PING_INTERVAL_MS = 20_000;
/** Window of one stream and of the connection. Node's 64 KiB bound a log to 64 KiB per round trip. */
const STREAM_WINDOW = 1 * MiB;
const CONNECTION_WINDOW = 4 * MiB;

/** The error of a connection that was closed without a reason. */
export const HUNG_UP = "the connection was closed";

/** No connection could be made. */
export class DialError extends Error {
  override readonly name = "DialError";
  readonly address: TrackerAddress;

  constructor(address: TrackerAddress, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.address = address;
  }
}

/**
 * One HTTP/2 connection, made with the first call and again after it has closed, to the first of several addresses that
 * answers. It replaces connect-node's session manager, which knows neither several addresses nor window sizes.
 */
export class TrackerSession {
  readonly authority: string = ORIGIN;
  private readonly addresses: readonly TrackerAddress[];
  private readonly readProof: () => Promise<Proof>;
  /** The address to which the connection goes. */
  private address: TrackerAddress;
  private session: ClientHttp2Session | undefined;
  private dialing: Promise<ClientHttp2Session> | undefined;
  private openStreams = 0;

  /** @param readProof reads the certificates, again for each connection */
  constructor(addresses: readonly TrackerAddress[], readProof: () => Promise<Proof> = () => Promise.resolve({})) {
    this.addresses = addresses;
    this.address = addresses[0] as TrackerAddress;
    this.readProof = readProof;
  }

  async request(method: string, path: string, headers: OutgoingHttpHeaders): Promise<ClientHttp2Stream> {
    const session = await this.ready();
    // Node's own value lacks the brackets of an IPv6 address.
    const authority = { ":authority": authorityOf(this.address) };
    const stream = session.request({ ...headers, ...authority, ":method": method, ":path": path });
    this.openStreams++;
    session.ref();
    stream.once("close", () => {
      this.openStreams--;
      if (this.openStreams === 0) session.unref();
    });
    return stream;
  }

  notifyResponseByteRead(): void {
    // Only pings show whether the connection works.
  }

  /** Resolves when there is a connection. @throws DialError of the last address */
  async ready(): Promise<ClientHttp2Session> {
    if (this.session !== undefined && !this.session.closed && !this.session.destroyed) return this.session;
    this.dialing ??= this.dialInTurn().finally(() => {
      this.dialing = undefined;
    });
    this.session = await this.dialing;
    return this.session;
  }

  close(): void {
    this.session?.destroy();
    this.session = undefined;
  }

  private async dialInTurn(): Promise<ClientHttp2Session> {
    let failure: unknown;
    for (const address of this.addresses) {
      try {
        const session = await dial(address, await this.readProof());
        this.address = address;
        this.watch(session);
        return session;
      } catch (error) {
        // The certificate worked before, so its files may be half replaced now.
        const passing = this.session !== undefined && error instanceof BelayError;
        failure = new DialError(address, passing ? new Error(error.message) : error);
      }
    }
    throw failure;
  }

  /** Destroys the connection when a ping stays without answer until the next one is due. */
  private watch(session: ClientHttp2Session): void {
    let waiting = false;
    const timer = setInterval(() => {
      if (waiting) {
        session.destroy(new Error("the tracker has not answered a ping"));
        return;
      }
      if (this.openStreams === 0) return;
      waiting = session.ping(() => {
        waiting = false;
      });
    }, PING_INTERVAL_MS);
    timer.unref();
    session.once("close", () => clearInterval(timer));
    session.unref();
  }
}

/** A connection that is being made. @throws ProxyError, or BelayError `BAD_USAGE` for a proxy that cannot be used */
async function socketTo(address: TrackerAddress, proof: Proof): Promise<net.Socket> {
  if (address.kind === "unix") return net.connect({ path: address.path });
  const { host, port } = address;
  const tunnel = await connectThroughProxy(address);
  if (!address.tls) return tunnel ?? net.connect({ host, port });
  return tls.connect({
    ...(tunnel !== undefined && { socket: tunnel }),
    host,
    port,
    servername: net.isIP(host) === 0 ? host : "",
    ALPNProtocols: ["h2"],
    ...proof,
    // Explicit: by default, NODE_TLS_REJECT_UNAUTHORIZED decides.
    rejectUnauthorized: true,
  });
}

async function dial(address: TrackerAddress, proof: Proof): Promise<ClientHttp2Session> {
  const socket = await socketTo(address, proof);
  return new Promise((resolve, reject) => {
    const session = http2.connect(`${address.tls ? "https" : "http"}://tracker`, {
      settings: { initialWindowSize: STREAM_WINDOW, enablePush: false },
      createConnection: () => socket,
    });
    let failure: unknown;
    // Not left to "close": a session whose handshake was refused (no client certificate) may never emit it.
    const fail = (error: Error): void => {
      failure = error;
      clearTimeout(timer);
      reject(error);
    };
    const timer = setTimeout(() => {
      fail(Object.assign(new Error("no answer"), { code: "ETIMEDOUT" }));
      session.destroy();
    }, CONNECT_TIMEOUT_MS);
    session.on("error", fail);
    socket.on("error", fail);
    session.once("close", () => {
      clearTimeout(timer);
      // Without effect if the connection was ready before.
      reject(failure instanceof Error ? failure : new Error(HUNG_UP));
    });
    // An open socket does not prove that the server speaks HTTP/2; its SETTINGS do.
    session.once("remoteSettings", () => {
      clearTimeout(timer);
      session.setLocalWindowSize(CONNECTION_WINDOW);
      resolve(session);
    });
  });
}
