import { Callbacks } from "../base/callbacks.ts";
import { BelayError, messageOf } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import { guardLogger, silentLogger } from "../base/logger.ts";
import type { ListenAddress } from "../base/network/listen.ts";
import { parseListen } from "../base/network/listen.ts";
import { checkOptions } from "../base/options.ts";
import { checkExposure } from "./net/address.ts";
import { MiB } from "../base/text/sizes.ts";
import { checkKey } from "./net/signed-token.ts";
import type {
  OtlpOptions,
  RetentionOptions,
  TrackerLimits,
  TrackerOptions,
  TrackerTls,
  TrackerTokens,
} from "./options.ts";
import { TRACKER_RULES } from "./option-rules.ts";
import type { StoreOptions } from "./store/open-store.ts";

const DEFAULT_LIMITS: TrackerLimits = {
  connections: 20_000,
  streams: 1024,
  // A fleet may share one token or one address; some connections are left for others.
  agentsPerClient: 16_384,
  callsPerClient: 4096,
  callsPerSecond: 1000,
  specBytes: 1 * MiB,
  headersTimeout: 10_000,
  requestTimeout: 30_000,
};

const callbacks = new Callbacks((name, error) =>
  process.emitWarning(
    `The function "${name}" that startTracker was given failed and is not called again: ${messageOf(error)}`,
  ),
);

/** Options with every default in place, checked. */
export interface TrackerConfig {
  readonly listen: ListenAddress;
  readonly dataDirectory: string;
  readonly heartbeatInterval: number;
  readonly lease: number;
  readonly lostTimeout: number;
  readonly keepaliveInterval: number;
  readonly tls: TrackerTls | undefined;
  readonly tokens: TrackerTokens | undefined;
  readonly limits: TrackerLimits;
  readonly cors: readonly string[];
  readonly drainTimeout: number;
  readonly store: StoreOptions;
  readonly retention: Required<RetentionOptions>;
  readonly otlp: OtlpOptions | undefined;
  readonly logger: Logger;
}

/**
 * Checks the options of a tracker.
 *
 * @throws BelayError `BAD_USAGE`
 */
export function compileOptions(given: TrackerOptions): TrackerConfig {
  const options = checkOptions("startTracker", given, TRACKER_RULES);
  const heartbeatInterval = options.heartbeatInterval ?? 10_000;
  const lease = options.lease ?? Math.max(30_000, 3 * heartbeatInterval);
  if (heartbeatInterval < 10) {
    throw new BelayError(
      "BAD_USAGE",
      `Cannot use a heartbeat interval of ${heartbeatInterval} ms: expected 10 ms or more`,
    );
  }
  if (lease < 2 * heartbeatInterval) {
    throw new BelayError(
      "BAD_USAGE",
      `Cannot use a lease of ${lease} ms: expected at least two heartbeat intervals, which are ${2 * heartbeatInterval} ms`,
    );
  }
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  if (limits.headersTimeout > limits.requestTimeout) {
    throw new BelayError(
      "BAD_USAGE",
      `Cannot use a headers timeout of ${limits.headersTimeout} ms: expected at most the request timeout, which is ${limits.requestTimeout} ms`,
    );
  }
  checkTokens(options.tokens);
  if (options.otlp !== undefined) checkOtlp(options.otlp);
  const listen = parseListen(options.listen ?? "127.0.0.1:7070");
  checkExposure(listen, options);
  return Object.freeze({
    listen,
    dataDirectory: options.dataDirectory,
    heartbeatInterval,
    lease,
    lostTimeout: options.lostTimeout ?? 3_600_000,
    keepaliveInterval: options.keepaliveInterval ?? 15_000,
    tls: options.tls,
    tokens: options.tokens,
    limits,
    cors: options.cors ?? [],
    drainTimeout: options.drainTimeout ?? 5_000,
    store: { durability: options.durability ?? "process", logLimit: options.logLimit ?? 0 },
    retention: { age: 0, bytes: 0, interval: 60_000, ...options.retention },
    otlp: options.otlp,
    logger: guardLogger(options.logger ?? silentLogger, callbacks),
  });
}

function checkOtlp({ endpoint, metricsInterval = 0 }: OtlpOptions): void {
  if (!URL.canParse(endpoint) || !["http:", "https:"].includes(new URL(endpoint).protocol)) {
    throw new BelayError(
      "BAD_USAGE",
      `Cannot use the OTLP endpoint "${endpoint}": expected a URL such as "http://127.0.0.1:4318"`,
    );
  }
  if (metricsInterval === 0 || metricsInterval >= 10) return;
  throw new BelayError("BAD_USAGE", `Cannot export metrics every ${metricsInterval} ms: expected 10 ms or more, or 0`);
}

/** Checks tokens, those that replace others included. @throws BelayError `BAD_USAGE` */
export function checkTokens(tokens: TrackerTokens | undefined): void {
  if (tokens === undefined) return;
  for (const key of tokens.keys ?? []) checkKey(key);
  if (tokens.operator.length + tokens.agent.length + (tokens.keys?.length ?? 0) > 0) return;
  throw new BelayError(
    "BAD_USAGE",
    "Cannot use an empty list of tokens: every call would be refused. Leave it out to ask for no token",
  );
}
