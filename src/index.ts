/**
 * Belay as a library: an agent that runs one job under a tracker, a tracker, and the messages that both speak.
 *
 * ```ts
 * import { runAgent, startTracker } from "belay-agent";
 *
 * await using tracker = await startTracker({ listen: "127.0.0.1:0", dataDirectory: "./data" });
 * const { result } = await runAgent({
 *   tracker: tracker.address,
 *   jobId: "hello",
 *   spec: { command: ["echo", "it works"] },
 * });
 * ```
 *
 * @module
 */
export { CallbackError } from "./agent/callback-error.ts";
export type { FlushedSession, FlushOptions, FlushOutcome } from "./agent/delivery/flush.ts";
export { flushSpool } from "./agent/delivery/flush.ts";
export type {
  AgentOptions,
  AgentOutcome,
  AttemptsOptions,
  AttemptsOutcome,
  ContainmentChoice,
  NextAttempt,
  OnDisconnect,
  StopKind,
  StopReason,
  TransportSecurity,
} from "./agent/options.ts";
export { runAgent } from "./agent/run.ts";
export { runAttempts } from "./agent/attempts/run-attempts.ts";
export type { BelayErrorCode } from "./base/errors.ts";
export { BelayError } from "./base/errors.ts";
export type { LogFields, LogFormat, Logger, LoggerOptions, LogLevel } from "./base/logger.ts";
export { createLogger, silentLogger } from "./base/logger.ts";
export * from "./gen/belay/v1/job_pb.ts";
export * from "./gen/belay/v1/job_service_pb.ts";
export * from "./gen/belay/v1/tracker_service_pb.ts";
export type { OtlpOptions, Tracker, TrackerOptions, TrackerTls } from "./tracker/options.ts";
export { startTracker } from "./tracker/server.ts";
