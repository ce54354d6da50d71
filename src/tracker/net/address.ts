import { BelayError } from "../../base/errors.ts";
import type { ListenAddress } from "../../base/network/listen.ts";
import { isLoopback } from "../../base/network/loopback.ts";
import type { TrackerOptions } from "../options.ts";

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
