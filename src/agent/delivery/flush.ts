import { existsSync } from "node:fs";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { systemClock as clock } from "../../base/clock.ts";
import { formatDuration } from "../../contract/durations.ts";
import { Callbacks } from "../../base/callbacks.ts";
import { messageOf } from "../../base/errors.ts";
import { type Logger, silentLogger } from "../../base/logger.ts";
import { parseTrackerAddresses } from "../../base/network/tracker-address.ts";
import {
  abortSignal,
  callback,
  checkOptions,
  milliseconds,
  required,
  type Rules,
  someLogger,
  text,
} from "../../base/options.ts";
import { failureClass } from "../../contract/failure-class.ts";
import { formatSize } from "../../contract/sizes.ts";
import { EndReason, type JobResult, JobResultSchema, JobState, Outcome } from "../../gen/belay/v1/job_pb.ts";
import { EventSchema, OpenSessionRequestSchema } from "../../gen/belay/v1/tracker_service_pb.ts";
import { CallbackError, type CallbackFailure, guardCallbacks } from "../callback-error.ts";
import { securityRule, trackerRule } from "../compile-options.ts";
import { DEFAULTS } from "../defaults.ts";
import { deliveryOf } from "./delivery.ts";
import type { TransportSecurity } from "../options.ts";
import { removeUnused, sessionsIn } from "../report/disk/session-directories.ts";
import { type RecoveredSpool, recoverSpool } from "../report/disk/recover.ts";
import { Session } from "../session/session.ts";
import type { SessionEnd } from "../session/session-end.ts";

/** Options for delivering what dead agents left behind. */
export interface FlushOptions {
  /** An agent's spool directory, or the directory of one session in it. */
  readonly directory: string;
  /** As in `AgentOptions`. */
  readonly tracker: string;
  readonly security?: TransportSecurity;
  /** Milliseconds for which it tries, for each session. @default 300_000 */
  readonly timeout?: number;
  /** Session that is skipped: the caller's own. */
  readonly except?: string;
  /** @default silent */
  readonly logger?: Logger;
  /**
   * Delivers only what agents left of this job, whose next attempt is about to run. An attempt without a result ends with
   * AGENT_LOST, but not the job. @default all jobs, which are ended
   */
  readonly nextAttemptOf?: string;
  /** Called with a sentence for users when something has happened. */
  readonly onProgress?: (message: string) => void;
  /** Aborting it ends the delivery. What was not delivered stays. */
  readonly signal?: AbortSignal;
}

/** What the options of `flushSpool` accept. */
export const FLUSH_RULES: Rules<FlushOptions> = {
  directory: required(text("the path of a directory")),
  tracker: trackerRule,
  security: securityRule,
  timeout: milliseconds(),
  except: text("the id of a session"),
  logger: someLogger,
  nextAttemptOf: text("the id of a job"),
  onProgress: callback,
  signal: abortSignal,
};

/** The outcome for one session's spool. */
export interface FlushedSession {
  /** Its directory; it is gone if everything was delivered. */
  readonly path: string;
  /** Empty if the spool could not be opened. */
  readonly sessionId: string;
  readonly jobId: string;
  readonly attempt: number;
  /** Whether the tracker has confirmed everything. */
  readonly delivered: boolean;
  /** Its agent still runs, or another process delivers it: nothing was done. */
  readonly inUse: boolean;
  /** Whether the agent died without a result, and AGENT_LOST was reported. */
  readonly agentLost: boolean;
  /**
   * How the attempt ended, as its agent reported it or as AGENT_LOST. Absent: the spool could not be opened, or the
   * tracker had confirmed that report before the agent died.
   */
  readonly result?: JobResult;
  /**
   * The state of the job once everything was delivered: PENDING if it waits for its next attempt. Absent: not everything
   * was delivered, or the tracker does not say it.
   */
  readonly jobState?: JobState;
  /** Whether the tracker accepts nothing more of the attempt: the job has another one, or does not exist. @default false */
  readonly refused?: boolean;
  /** What is missing and why, for users. Empty if nothing is. */
  readonly message: string;
}

/** The outcome for everything that was left behind. */
export interface FlushOutcome {
  /** Whether nothing is left but what is in use. */
  readonly delivered: boolean;
  /** One for each session that was found, oldest first. */
  readonly sessions: readonly FlushedSession[];
}

/**
 * Delivers what dead agents left in a spool directory, one session after the other, and reports AGENT_LOST for those
 * that have no result. What the tracker confirms is removed. Sessions whose agent still runs are skipped.
 *
 * @throws BelayError `BAD_USAGE` for an option that cannot be used as given, or a directory that cannot be read
 * @throws CallbackError when all is over, with the outcome: a function of the options has failed, and was not called again
 */
export async function flushSpool(given: FlushOptions): Promise<FlushOutcome> {
  let failure: CallbackFailure | undefined;
  const callbacks = new Callbacks((name, error) => (failure ??= { name, error }));
  const options = guardCallbacks(checkOptions("flushSpool", given, FLUSH_RULES), callbacks);
  parseTrackerAddresses(options.tracker);
  const sessions: FlushedSession[] = [];
  for (const path of sessionsIn(options.directory, options.except)) {
    if (options.signal?.aborted === true) break;
    if (removeUnused(path)) continue;
    const flushed = await flushOne(path, options);
    if (flushed !== undefined) sessions.push(flushed);
  }
  const interrupted = options.signal?.aborted === true;
  const delivered = !interrupted && sessions.every((session) => session.delivered || session.inUse);
  const outcome = { delivered, sessions };
  // A rejected promise is seen a moment after the call.
  await new Promise((resolve) => setImmediate(resolve));
  if (failure !== undefined) throw new CallbackError<FlushOutcome>(failure, outcome);
  return outcome;
}

/** @returns undefined if the spool belongs to another job than the one in the options */
async function flushOne(path: string, options: FlushOptions): Promise<FlushedSession | undefined> {
  const unopened = { sessionId: "", jobId: "", attempt: 0, agentLost: false, inUse: false };
  let left: RecoveredSpool | undefined;
  try {
    left = await recoverSpool(path, (message) => options.logger?.warn(message));
  } catch (error) {
    options.onProgress?.(messageOf(error));
    return { path, ...unopened, delivered: false, message: messageOf(error) };
  }
  if (left === undefined) {
    const message = `The spool "${path}" is in use: its agent still runs, or another process delivers it`;
    return { path, ...unopened, inUse: true, delivered: false, message };
  }
  const { spool, identity, torn } = left;
  const { sessionId, jobId, attempt } = identity;
  if (options.nextAttemptOf !== undefined && options.nextAttemptOf !== jobId) {
    await spool.close();
    return undefined;
  }
  const who = { path, sessionId, jobId, attempt, inUse: false };
  const isEmpty = spool.lowestHeld("events") === 0 && spool.lowestHeld("logs") === 0;
  if (isEmpty && (left.hasResult || attempt === 0)) {
    // Nothing was ever run, or the agent died between the last ack and the removal of its spool.
    await spool.close();
    return { ...who, delivered: true, agentLost: false, message: "" };
  }
  if (torn > 0) options.logger?.warn("The end of a spool was torn and is cut off", { path, bytes: torn });
  options.onProgress?.(`delivering what an agent left of job ${jobId}: ${formatSize(spool.diskBytes)} in "${path}"`);
  const agentLost = !left.hasResult;
  const result = agentLost ? reportLost(left) : left.result;
  const end = await deliverSession(left, options, agentLost && options.nextAttemptOf !== undefined);
  await spool.close();
  const { delivered, undelivered: message } = deliveryOf(end);
  const outcome = delivered ? "delivered" : `not delivered: ${message}`;
  options.onProgress?.(`what an agent left of job ${jobId} is ${outcome}`);
  const state = end.kind === "delivered" ? end.receipt?.jobState : undefined;
  return {
    ...who,
    delivered,
    agentLost,
    ...(result !== undefined && { result }),
    ...(state !== undefined && state !== JobState.UNSPECIFIED && { jobState: state }),
    ...((end.kind === "refused" || end.kind === "fenced") && { refused: true }),
    message,
  };
}

/** Adds the result that the agent could not report. */
function reportLost({ spool, identity, streams }: RecoveredSpool): JobResult {
  const now = timestampFromMs(clock.now());
  const result = create(JobResultSchema, {
    outcome: Outcome.FAILED,
    reason: EndReason.AGENT_LOST,
    message: `The agent (process ${identity.agent.pid} on ${identity.agent.hostname}) died before it could report a result`,
    endTime: now,
    streams,
  });
  result.failureClass = failureClass(result);
  const sequence = BigInt(spool.nextSequence("events"));
  const event = create(EventSchema, { sequence, eventTime: now, kind: { case: "result", value: result } });
  const request = create(OpenSessionRequestSchema, { payload: { case: "event", value: event } });
  spool.push("events", Buffer.from(toBinary(OpenSessionRequestSchema, request)), { result: true });
  return result;
}

async function deliverSession(
  { spool, identity }: RecoveredSpool,
  options: FlushOptions,
  nextAttemptFollows: boolean,
): Promise<SessionEnd> {
  const { sessionId, jobId, attempt, agent } = identity;
  const timeout = options.timeout ?? DEFAULTS.flushTimeout;
  const session = new Session({
    identity: { sessionId, jobId, attempt, agent, spec: undefined, nextAttemptFollows, deliversOnly: true },
    addresses: parseTrackerAddresses(options.tracker),
    security: options.security ?? {},
    connectTimeout: timeout,
    spool,
    clock,
    logger: options.logger ?? silentLogger,
    handlers: {
      jobState: () => JobState.RUNNING,
      // No process is left that a command could reach; the tracker closes its commands when it has the result.
      command: () => undefined,
      connected: () => undefined,
      lost: (why, retryIn) => options.onProgress?.(`not connected: ${why}. Next attempt in ${formatDuration(retryIn)}`),
      fenced: () => undefined,
    },
  });
  const ended = session.run();
  session.finish();
  const timer = clock.after(timeout, () => session.close(session.whyUndelivered(timeout)));
  const abandon = (): void => session.close("It was interrupted");
  options.signal?.addEventListener("abort", abandon, { once: true });
  if (options.signal?.aborted === true) abandon();
  try {
    return await ended;
  } finally {
    timer.cancel();
    options.signal?.removeEventListener("abort", abandon);
  }
}

/**
 * Delivers, while a new job runs, what earlier agents left in the same spool directory. Never rejects.
 *
 * @param options `except` is the session of the new job
 */
export async function deliverLeftBehind(
  options: FlushOptions & { readonly except: string },
): Promise<readonly FlushedSession[]> {
  // No agent has been here before.
  if (!existsSync(options.directory)) return [];
  try {
    const { sessions } = await flushSpool(options);
    for (const { delivered, inUse, path, message } of sessions) {
      if (!delivered && !inUse)
        options.logger?.warn("What an agent left behind is still not delivered", { path, why: message });
    }
    return sessions;
  } catch (error) {
    options.logger?.warn("Cannot deliver what an agent left behind", { why: messageOf(error) });
    return [];
  }
}
