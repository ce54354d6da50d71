import { BelayError } from "../../base/errors.ts";
import { isLoopback } from "../../base/loopback.ts";
import type { TrackerOptions } from "../options.ts";

/** Where to listen. */
export type ListenAddress =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

/**
 * Reads `host:port`, `[v6]:port` or `unix:/path`.
 *
 * @throws BelayError `BAD_USAGE`
 */
export function parseListen(text: string): ListenAddress {
  if (text.startsWith("unix:")) {
    const path = text.slice("unix:".length);
    if (path !== "") return { kind: "unix", path };
  }
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65_535) {
    throw new BelayError(
      "BAD_USAGE",
      `Cannot listen on "${text}": expected "host:port", "[ipv6]:port" or "unix:/path"`,
    );
  }
  return { kind: "tcp", host, port };
}

/**
 * Refuses what would let anybody on the network control jobs: beyond this machine, a tracker wants TLS and proof of who
 * calls (tokens, or client certificates).
 *
 * @throws BelayError `BAD_USAGE`
 */
export function checkExposure(address: ListenAddress, options: TrackerOptions): void {
  if (address.kind === "unix" || isLoopback(address.host) || options.insecure === true) return;
  const missing = [
    ...(options.tls === undefined ? ["TLS"] : []),
    ...(options.tokens === undefined && options.tls?.clientCa === undefined ? ["tokens"] : []),
  ];
  if (missing.length === 0) return;
  throw new BelayError(
    "BAD_USAGE",
    `Refusing to listen on "${address.host}" without ${missing.join(" and ")}: anybody who reaches it could run commands ` +
      "on your workers. Listen on 127.0.0.1, set TLS and tokens, or allow it with --insecure",
  );
}
