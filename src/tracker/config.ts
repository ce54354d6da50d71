import { BelayError } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import { silentLogger } from "../base/logger.ts";
import type { ListenAddress } from "./net/address.ts";
import { checkExposure, parseListen } from "./net/address.ts";
import type { RetentionOptions, TrackerOptions, TrackerTls } from "./options.ts";
import type { StoreOptions } from "./store/sqlite-store.ts";

/** Options with every default in place, checked. */
export interface TrackerConfig {
  readonly listen: ListenAddress;
  readonly dataDirectory: string;
  readonly heartbeatInterval: number;
  readonly lease: number;
  readonly tls: TrackerTls | undefined;
  readonly tokens: TrackerOptions["tokens"];
  readonly drainTimeout: number;
  readonly store: StoreOptions;
  readonly retention: Required<RetentionOptions>;
  readonly logger: Logger;
}

/**
 * Checks the options of a tracker.
 *
 * @throws BelayError `BAD_USAGE`
 */
export function compileOptions(options: TrackerOptions): TrackerConfig {
  const heartbeatInterval = options.heartbeatInterval ?? 10_000;
  const lease = options.lease ?? Math.max(30_000, 3 * heartbeatInterval);
  if (!(heartbeatInterval >= 10)) {
    throw new BelayError(
      "BAD_USAGE",
      `Cannot use a heartbeat interval of ${heartbeatInterval} ms: expected 10 ms or more`,
    );
  }
  if (!(lease >= 2 * heartbeatInterval)) {
    throw new BelayError(
      "BAD_USAGE",
      `Cannot use a lease of ${lease} ms: expected at least two heartbeat intervals, which are ${2 * heartbeatInterval} ms`,
    );
  }
  if (options.dataDirectory === "") throw new BelayError("BAD_USAGE", "Cannot use an empty data directory");
  if (options.tokens !== undefined && options.tokens.operator.length + options.tokens.agent.length === 0) {
    throw new BelayError(
      "BAD_USAGE",
      "Cannot use an empty list of tokens: nobody could call. Leave it out to ask for none",
    );
  }
  const listen = parseListen(options.listen ?? "127.0.0.1:7070");
  checkExposure(listen, options);
  return Object.freeze({
    listen,
    dataDirectory: options.dataDirectory,
    heartbeatInterval,
    lease,
    tls: options.tls,
    tokens: options.tokens,
    drainTimeout: options.drainTimeout ?? 5_000,
    store: { durability: options.durability ?? "process", logLimit: options.logLimit ?? 0 },
    retention: { age: 0, bytes: 0, interval: 60_000, ...options.retention },
    logger: options.logger ?? silentLogger,
  });
}
