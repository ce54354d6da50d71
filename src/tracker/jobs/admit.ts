import { Code, ConnectError } from "@connectrpc/connect";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { formatDuration } from "../../contract/durations.ts";
import type { Attempt, Job } from "../../gen/belay/v1/job_pb.ts";
import { AttemptSchema, JobState } from "../../gen/belay/v1/job_pb.ts";
import type { Hello } from "../../gen/belay/v1/tracker_service_pb.ts";
import { GoodbyeReason } from "../../gen/belay/v1/tracker_service_pb.ts";
import type { LiveJob } from "./live-job.ts";
import type { ChangedParts } from "./changed-parts.ts";
import { beginTrace } from "./trace.ts";
import { stateName } from "../../contract/names.ts";
import { isEnded } from "../../contract/states.ts";
import { isRunning } from "../../contract/states.ts";

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
 * | the job is                            | then                                                              |
 * |---------------------------------------|-------------------------------------------------------------------|
 * | pending                               | attempt 1 goes to the session                                     |
 * | canceled before an agent had it       | FAILED_PRECONDITION                                               |
 * | under this session                    | its new stream replaces the old one                               |
 * | under another one, lease alive        | ALREADY_EXISTS                                                    |
 * | lost by this session                  | the session goes on with it                                       |
 * | lost by another one                   | the next attempt goes to this session, the other one is fenced    |
 * | ended under this session              | Welcome, so that the log can finish                               |
 * | ended otherwise, or now another's     | FAILED_PRECONDITION                                               |
 * | lost by this session for too long     | FAILED_PRECONDITION                                               |
 *
 * @returns the changes, which must be stored; undefined: nothing has changed
 * @throws ConnectError with the code that the contract names
 */
export function admit(live: LiveJob, caller: Caller): ChangedParts | undefined {
  const { job, attempt } = live;
  const { hello } = caller;
  const fenced = job.attempts.find((candidate) => candidate.sessionId === hello.sessionId && candidate.superseded);
  if (fenced !== undefined && attempt !== undefined) {
    throw refuse(`Attempt ${fenced.attempt} of job "${live.id}" was ${whyFenced(job, fenced, attempt)}`);
  }
  const own = attempt?.sessionId === hello.sessionId;
  if (isEnded(job.state)) {
    if (own) return undefined;
    throw refuse(
      attempt === undefined && job.state === JobState.CANCELED
        ? `Job "${live.id}" was canceled before an agent had it`
        : `Job "${live.id}" has ended: it is ${stateName(job.state)}`,
    );
  }
  if (attempt === undefined) return assign(live, caller);
  if (own) return resume(live, attempt, caller);
  if (job.state !== JobState.LOST) {
    throw new ConnectError(
      `Job "${live.id}" runs under session ${attempt.sessionId}, attempt ${attempt.attempt}; ` +
        `its lease runs for another ${formatDuration(caller.leaseLeft)} unless it is heard of`,
      Code.AlreadyExists,
    );
  }
  attempt.superseded = true;
  delete attempt.health;
  live.stream?.goodbye(GoodbyeReason.SUPERSEDED, `Attempt ${attempt.attempt + 1} has the job`);
  live.stream = undefined;
  live.keepTotals();
  return { ...assign(live, caller), otherAttempt: attempt };
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
  // An agent that brings a spec runs that spec only, so it replaces the stored one.
  const spec = hello.spec !== undefined;
  if (hello.spec !== undefined) {
    job.spec = hello.spec;
    delete job.shownSpec;
    if (hello.shownSpec !== undefined) job.shownSpec = hello.shownSpec;
  }
  // The job was stored by a tracker of a version without traces.
  if (job.traceParent === "") job.traceParent = beginTrace(job.spec);
  job.state = isRunning(hello.state) ? hello.state : JobState.SETTING_UP;
  delete job.startTime;
  job.step = 0;
  live.disconnectedAt = undefined;
  return { spec, attempt };
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

function whyFenced(job: Job, fenced: Attempt, latest: Attempt): string {
  if (fenced !== latest) return `superseded by attempt ${latest.attempt}`;
  return `LOST for too long: the job ${isEnded(job.state) ? `has ended, it is ${stateName(job.state)}` : "waits for another agent"}`;
}

function refuse(message: string): ConnectError {
  return new ConnectError(message, Code.FailedPrecondition);
}
