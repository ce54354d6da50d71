import { Code, ConnectError } from "@connectrpc/connect";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { formatDuration } from "../../contract/durations.ts";
import type { Attempt, Job, JobSpec } from "../../gen/belay/v1/job_pb.ts";
import { AttemptSchema, JobState, LogCompleteness } from "../../gen/belay/v1/job_pb.ts";
import type { Hello } from "../../gen/belay/v1/tracker_service_pb.ts";
import { neededFeatures } from "../../contract/features.ts";
import { stateName } from "../../contract/names.ts";
import { isEnded, isRunning } from "../../contract/states.ts";
import { JOB_STATE_TRAILER, RETRY_DELAY_TRAILER } from "../../contract/trailers.ts";
import { fence, lostResult, silenceText } from "./attempt-end.ts";
import type { ChangedParts } from "./changed-parts.ts";
import { isLogUndecided } from "./ending.ts";
import type { LiveJob } from "./live-job.ts";
import { policyDifference } from "./retry-policy.ts";
import { beginTrace } from "./trace.ts";

/** The session that sent a Hello, and when. */
export interface Caller {
  readonly hello: Hello;
  readonly principal: string;
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
  /** Milliseconds for which the lease of the session that has the job still runs. */
  readonly leaseLeft: number;
}

/**
 * Decides whether a session may have a job, and if so assigns the job to it. This is the table in docs/architecture.md:
 *
 * | the job is                                      | then                                                     |
 * |-------------------------------------------------|----------------------------------------------------------|
 * | pending, and had no attempt                     | attempt 1 goes to the session                            |
 * | pending after an attempt of this session        | Welcome, so that the log can finish                      |
 * | pending, and may not start yet                  | UNAVAILABLE, with the time until then as a trailer; but a |
 * |                                                 | session that is CANCELING, to end the job, gets it       |
 * | pending, and the log before still arrives       | ALREADY_EXISTS; with take_over as in the next row        |
 * | pending after an attempt                        | the next attempt goes to the session                     |
 * | under this session                              | its new stream replaces the old one                      |
 * | under another one, lease alive                  | ALREADY_EXISTS; with take_over as in the next row        |
 * | lost by another one                             | the next attempt goes to this session, the other one is fenced |
 * | lost by this session                            | the session goes on with it                              |
 * | lost by this session for too long               | FAILED_PRECONDITION; but Welcome with delivers_only, so   |
 * |                                                 | that the log of its dead agent can finish                |
 * | not this session's, which has delivers_only     | FAILED_PRECONDITION                                      |
 * | ended under this session                        | Welcome, so that the log can finish                      |
 * | ended otherwise, or now another's               | FAILED_PRECONDITION                                      |
 *
 * A session that the job would go to is refused with INVALID_ARGUMENT if its spec has another retry policy than the job,
 * and with FAILED_PRECONDITION if its agent cannot run the job's spec.
 *
 * @returns the changes, which must be stored; undefined: nothing has changed
 * @throws ConnectError with the code that the contract names
 */
export function admit(live: LiveJob, caller: Caller): ChangedParts | undefined {
  const { job, attempt } = live;
  const { hello } = caller;
  const fenced = job.attempts.find((candidate) => candidate.sessionId === hello.sessionId && candidate.superseded);
  if (fenced !== undefined && attempt !== undefined) {
    if (fenced === attempt && hello.deliversOnly) return reopenLog(live, attempt);
    throw refuse(`Attempt ${fenced.attempt} of job "${live.id}" was ${whyFenced(job, fenced, attempt)}`, job.state);
  }
  const own = attempt?.sessionId === hello.sessionId;
  if (isEnded(job.state)) {
    if (own) return undefined;
    throw refuse(
      attempt === undefined && job.state === JobState.CANCELED
        ? `Job "${live.id}" was canceled before an agent had it`
        : `Job "${live.id}" has ended: it is ${stateName(job.state)}`,
      job.state,
    );
  }
  if (own) return resume(live, attempt, caller);
  if (hello.deliversOnly) {
    // The job was deleted, and this is another one with its id.
    const why = `has no attempt of session ${hello.sessionId}: what that session left belongs to another job`;
    throw refuse(`Job "${live.id}" ${why}`, job.state);
  }
  checkPolicy(live, hello);
  checkFeatures(live, hello);
  if (attempt === undefined) return assign(live, caller);
  checkIsFree(live, attempt, caller);
  return { ...succeed(live, attempt, caller), otherAttempt: attempt };
}

/** @throws ConnectError if the next attempt must not begin now */
function checkIsFree(live: LiveJob, { attempt, sessionId }: Attempt, { hello, now, leaseLeft }: Caller): void {
  const { state, pendingFrom } = live.job;
  const next = `Attempt ${attempt + 1} of job "${live.id}"`;
  const lease = formatDuration(leaseLeft);
  if (state === JobState.LOST) return;
  if (state === JobState.PENDING) {
    const early = pendingFrom === undefined ? 0 : Math.ceil(timestampMs(pendingFrom) - now);
    // An agent that was ordered to end the job starts nothing.
    if (early > 0 && hello.state !== JobState.CANCELING) {
      const trailers = { [RETRY_DELAY_TRAILER]: String(early) };
      throw new ConnectError(`${next} may start in ${formatDuration(early)}`, Code.Unavailable, trailers);
    }
    if (!isLogUndecided(live) || hello.takeOver) return;
    const text = `${next} has to wait: the log of attempt ${attempt} still arrives, for another ${lease} at most`;
    throw new ConnectError(`${text} unless more of it is received`, Code.AlreadyExists);
  }
  if (hello.takeOver) return;
  throw new ConnectError(
    `Job "${live.id}" runs under session ${sessionId}, attempt ${attempt}; ` +
      `its lease ends in ${lease} unless its agent sends a message`,
    Code.AlreadyExists,
  );
}

/** Gives the job to a session that is not the one of its latest attempt. */
function succeed(live: LiveJob, before: Attempt, caller: Caller): ChangedParts {
  const next = before.attempt + 1;
  const silence = silenceText(live, caller.now);
  const isTaken = live.job.state !== JobState.LOST;
  fence(live, before, `Attempt ${next} has the job`);
  // A takeover cuts a lease short: the agent before may have been well, and the silence says nothing.
  const message = isTaken ? `Attempt ${next} has taken over. ${silence}` : `${silence}; attempt ${next} has the job`;
  before.result ??= lostResult(live, message, caller.now);
  return assign(live, caller);
}

function assign(live: LiveJob, { hello, principal, now }: Caller): ChangedParts {
  const { job } = live;
  const attempt = create(AttemptSchema, {
    attempt: (live.attempt?.attempt ?? 0) + 1,
    sessionId: hello.sessionId,
    principal,
    createTime: timestampFromMs(now),
    ...(hello.agent === undefined ? {} : { agent: hello.agent }),
  });
  job.attempts.push(attempt);
  if (hello.spec !== undefined) replaceSpec(job, hello.spec, hello.shownSpec);
  // The job was stored by a tracker of a version without traces.
  if (job.traceParent === "") job.traceParent = beginTrace(job.spec);
  job.state = isRunning(hello.state) ? hello.state : JobState.SETTING_UP;
  delete job.startTime;
  job.step = 0;
  live.idleHeartbeats = 0;
  live.disconnectedAt = undefined;
  live.heardAt = now;
  return { spec: hello.spec !== undefined, attempt };
}

/** An agent that brings a spec runs that spec only, so it replaces the stored one. The retry policy stays. */
function replaceSpec(job: Job, spec: JobSpec, shownSpec: JobSpec | undefined): void {
  const policy = job.spec?.retry;
  job.spec = spec;
  delete job.shownSpec;
  if (shownSpec !== undefined) job.shownSpec = shownSpec;
  if (policy === undefined) return;
  spec.retry = policy;
  if (shownSpec !== undefined) shownSpec.retry = policy;
}

function resume(live: LiveJob, attempt: Attempt, { hello, principal }: Caller): ChangedParts {
  const { job } = live;
  if (hello.agent !== undefined) attempt.agent = hello.agent;
  attempt.principal = principal;
  if (job.state === JobState.LOST && attempt.result === undefined) {
    job.state = isRunning(hello.state) ? hello.state : live.resumeState;
  }
  return { attempt, urgent: true };
}

/**
 * Opens the log of an attempt that was LOST for too long again, for what its dead agent left. Its completeness is decided
 * when that is over, and until then the next attempt waits, as for any log that still arrives.
 */
function reopenLog(live: LiveJob, attempt: Attempt): ChangedParts | undefined {
  if (attempt.logCompleteness === LogCompleteness.COMPLETE) return undefined;
  attempt.logCompleteness = LogCompleteness.UNSPECIFIED;
  attempt.logMessage = "";
  live.idleHeartbeats = 0;
  return { attempt, urgent: true };
}

/** The policy with which the job was created counts: an agent must not change the number of attempts. */
function checkPolicy({ id, job }: LiveJob, { spec }: Hello): void {
  const policy = job.spec?.retry;
  if (policy === undefined || spec?.retry === undefined) return;
  const difference = policyDifference(policy, spec.retry);
  if (difference === undefined) return;
  throw new ConnectError(
    `Bad spec: spec.retry differs from the policy with which job "${id}" was created (${difference})`,
    Code.InvalidArgument,
  );
}

/** An agent that is too old for the job's spec would run half of it. What it brings itself, it knows. */
function checkFeatures({ id, job }: LiveJob, hello: Hello): void {
  if (hello.spec !== undefined || job.spec === undefined) return;
  for (const [feature, field] of neededFeatures(job.spec)) {
    if (hello.features.includes(feature)) continue;
    const version = hello.agent?.version ?? "";
    const which = version === "" ? "the agent does not" : `the agent is belay ${version}`;
    throw refuse(`Job "${id}" needs an agent that knows "${field}" (${which}): update it`, job.state);
  }
}

function whyFenced(job: Job, fenced: Attempt, latest: Attempt): string {
  if (fenced !== latest) return `superseded by attempt ${latest.attempt}`;
  return `LOST for too long: the job ${isEnded(job.state) ? `has ended, it is ${stateName(job.state)}` : "waits for another agent"}`;
}

/** @param state the job's; if it has ended, a trailer has it */
function refuse(message: string, state: JobState): ConnectError {
  const trailers = isEnded(state) ? { [JOB_STATE_TRAILER]: stateName(state) } : undefined;
  return new ConnectError(message, Code.FailedPrecondition, trailers);
}
