import type { Logger } from "../base/logger.ts";

/** Certificates that identify the tracker and its clients. Contents of PEM files. */
export interface TrackerTls {
  readonly cert: Buffer;
  readonly key: Buffer;
  /** Authorities for clients' certificates. Given: a client without a valid one is refused. */
  readonly clientCa?: Buffer;
}

/** Bearer tokens. */
export interface TrackerTokens {
  /** For agents: TrackerService. */
  readonly agent: readonly string[];
  /** For operators: JobService, and all that agents may. */
  readonly operator: readonly string[];
  /** Keys of signed tokens, each good for one job's agent until it expires. 32 bytes or more. */
  readonly keys?: readonly string[];
}

/** Limits of one tracker. What exceeds them is refused with an error, and counted. */
export interface TrackerLimits {
  /** Connections that are open at one time; more are closed at once. @default 20_000 */
  readonly connections: number;
  /** Calls under way on one connection. @default 1024 */
  readonly streams: number;
  /**
   * Agents' streams of one client, on all its connections together; 64 for a token that is bound to one job. 0: no
   * limit. A client is the name in a token or certificate, else an address. @default 16_384
   */
  readonly agentsPerClient: number;
  /** Other calls under way of one client, watches and followed logs among them. 0: no limit. @default 4096 */
  readonly callsPerClient: number;
  /** Calls of JobService by one client in a second; twice as many at once. 0: no limit. @default 1000 */
  readonly callsPerSecond: number;
  /** Bytes of an encoded job spec. @default 1 MiB */
  readonly specBytes: number;
  /** Time for the first bytes of a connection, the headers of a request, and a TLS handshake. @default 10_000 */
  readonly headersTimeout: number;
  /** Time for the whole of a request that is no session; and for a connection without any. @default 30_000 */
  readonly requestTimeout: number;
}

/**
 * When ended jobs are removed. A job goes as a whole, with its log and metrics: what is there is complete. A job that
 * has not ended, or whose log may still come, is never removed.
 */
export interface RetentionOptions {
  /** Time since the end of a job after which it is removed. 0: never. @default 0 */
  readonly age?: number;
  /** Bytes of output and metrics of all jobs together, above which those that ended first are removed. 0: no limit. @default 0 */
  readonly bytes?: number;
  /** Time between two looks. @default 60_000 */
  readonly interval?: number;
}

/** Where spans of jobs and what they use are exported to, by OTLP over HTTP with protobuf. */
export interface OtlpOptions {
  /** Base of the collector's addresses, such as `http://127.0.0.1:4318`: `/v1/traces` and `/v1/metrics` are added. */
  readonly endpoint: string;
  /** Sent with each request. @default those of `OTEL_EXPORTER_OTLP_HEADERS` */
  readonly headers?: Readonly<Record<string, string>>;
  /** Longest time for one export, including retries. @default 10_000 */
  readonly timeout?: number;
  /** Time between two exports of what running jobs use. 0: that is not exported. @default 10_000 */
  readonly metricsInterval?: number;
}

/** Options of a tracker. Times are milliseconds, sizes bytes. */
export interface TrackerOptions {
  /** `host:port` or `unix:/path`; port 0 takes a free one. @default "127.0.0.1:7070" */
  readonly listen?: string;
  /** Holds everything; made if missing. One tracker at a time. */
  readonly dataDirectory: string;
  /** Time between two heartbeats of an agent. @default 10_000 */
  readonly heartbeatInterval?: number;
  /**
   * Time of silence after which a watch or followed log is sent a keepalive (an answer without content), so
   * that proxies do not close it as dead. 0: never. @default 15_000
   */
  readonly keepaliveInterval?: number;
  /** Time of silence after which a job is LOST. At least two heartbeat intervals. @default 30_000 */
  readonly lease?: number;
  /**
   * Time for which a job may be LOST if its spec does not say; then its attempt has ended, and it is FAILED, or waits
   * for its next attempt. 0: for ever. @default 3_600_000
   */
  readonly lostTimeout?: number;
  readonly tls?: TrackerTls;
  /** Bearer tokens that are accepted. Absent: no token is needed. */
  readonly tokens?: TrackerTokens;
  readonly limits?: Partial<TrackerLimits>;
  /** Origins whose pages may call from a browser, such as `https://ci.example.org`; `*` is any. @default none */
  readonly cors?: readonly string[];
  /**
   * What an ack and an answer promise: `process` survives the death of the tracker, `disk` a power cut as well.
   *
   * @default "process"
   */
  readonly durability?: "process" | "disk";
  /** When ended jobs are removed. */
  readonly retention?: RetentionOptions;
  /** Bytes of output that are stored of one attempt; what comes beyond them is noted as a gap. 0: all. @default 0 */
  readonly logLimit?: number;
  /** Exports spans and usage. Absent: nothing is exported, and nothing is loaded for it. */
  readonly otlp?: OtlpOptions;
  /** Allows listening beyond loopback without TLS and tokens. @default false */
  readonly insecure?: boolean;
  /** Time that `close` gives to open streams. @default 5_000 */
  readonly drainTimeout?: number;
  /** A function of it that throws is not called again; a warning of the process says so. @default silent */
  readonly logger?: Logger;
}

/** A tracker that listens. */
export interface Tracker {
  /** Its address: `http://127.0.0.1:7070`, `https://…` or `unix:/path`, with the real port. */
  readonly address: string;
  /**
   * Replaces certificates and tokens, for calls from now on; open calls stay open. Absent parts are not replaced.
   *
   * @throws BelayError `BAD_USAGE` if they cannot be used; then nothing has changed
   */
  reload(changed: { readonly tls?: TrackerTls; readonly tokens?: TrackerTokens }): void;
  /** Drains: says Goodbye, ends streams, commits everything, closes the store. Safe to call twice. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
