import type { Socket } from "node:net";
import type { TcpAddress, TrackerAddress } from "./tracker-address.ts";

/** Environment variables, in lower case, that may name a proxy. */
const VARIABLES = ["grpc_proxy", "https_proxy", "http_proxy", "all_proxy"];

/** Environment variables. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** An HTTP proxy that tunnels the connection to the tracker (CONNECT). */
export interface Proxy {
  /** A name, or an IP address without brackets. */
  readonly host: string;
  readonly port: number;
  /** Value of Proxy-Authorization. */
  readonly authorization: string | undefined;
  /** For messages: the proxy's address without credentials, and the variable that names it. */
  readonly text: string;
}

/**
 * The proxy for a tracker, if the environment names one. Agent and commands both use this rule, which docs/proxies.md
 * explains. The code that decides is loaded only if one of the variables is set.
 *
 * @throws BelayError `BAD_USAGE` for a proxy that cannot be used
 */
export async function proxyTo(
  address: TrackerAddress,
  environment: Environment = process.env,
): Promise<Proxy | undefined> {
  if (address.local) return undefined;
  if (!VARIABLES.some((name) => environment[name] || environment[name.toUpperCase()])) return undefined;
  const { findProxy } = await import("./proxy/find-proxy.ts");
  return findProxy(address, environment);
}

/** Connects to a tracker through the proxy for it. Undefined: it has no proxy. @throws like proxyTo; ProxyError */
export async function connectThroughProxy(address: TcpAddress, signal?: AbortSignal): Promise<Socket | undefined> {
  const proxy = await proxyTo(address);
  if (proxy === undefined) return undefined;
  const { connectThrough } = await import("./proxy/tunnel.ts");
  return connectThrough(proxy, address, signal);
}

/** A proxy does not connect to the tracker. The message begins with the proxy and its variable. */
export class ProxyError extends Error {
  override readonly name = "ProxyError";
  /** HTTP status of the proxy's refusal. Undefined: the proxy sent none. */
  readonly status: number | undefined;

  constructor(message: string, options: { status?: number; cause?: unknown } = {}) {
    super(message, options);
    this.status = options.status;
  }
}
