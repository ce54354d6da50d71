import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { formatDuration } from "../../contract/durations.ts";
import { failureClass } from "../../contract/failure-class.ts";
import { className, reasonName } from "../../contract/names.ts";
import { isRetried, maxAttempts, retryDelay, retryWait } from "../../contract/retry.ts";
import { afterStepsNotRun } from "../../contract/script-steps.ts";
import { elide } from "../../base/text/elide.ts";
import type { AfterStepResult, Attempt, JobResult, RetryPolicy } from "../../gen/belay/v1/job_pb.ts";
import {
  CommandKind,
  EndReason,
  FailureClass,
  JobResultSchema,
  JobState,
  LogCompleteness,
  Outcome,
} from "../../gen/belay/v1/job_pb.ts";
import { GoodbyeReason } from "../../gen/belay/v1/tracker_service_pb.ts";
import type { StoredCommand } from "../store/types.ts";
import { judgeLog, UNCOUNTED } from "./completeness.ts";
import { putPendingUntil } from "./deadlines/deadline-fields.ts";
import { closeCommands, endJob, endWaiting } from "./ending.ts";
import type { LiveJob } from "./live-job.ts";
import { shownOf } from "./shown/shown.ts";

/** Most characters of a result's message in the reason why a job is PENDING. */
const MOST_REASON = 1000;

/**
 * Ends the latest attempt with its result, and decides what becomes of the job:
 *
 * - its retry policy allows another attempt: the job is PENDING again;
 * - another attempt is about to begin, and the job itself has done nothing wrong: it is LOST until then;
 * - in both cases, but a cancel was under way: it is CANCELED;
 * - else it has ended.
 *
 * @param nextAttemptFollows as in Hello
 * @returns the commands that are closed by it: the attempt's agent will not carry them out
 */
export function endAttempt(live: LiveJob, result: JobResult, now: number, nextAttemptFollows = false): StoredCommand[] {
  const { job, attempt } = live;
  if (attempt === undefined) return [];
  const failure = classOf(result);
  result.failureClass = failure;
  if (result.after.length === 0) result.after = unreportedAfterSteps(live, job.step, result);
  attempt.result = result;
  delete attempt.health;
  // The agent's own times count; the events that reported them may have come late.
  if (result.startTime !== undefined) job.startTime = result.startTime;
  job.step = 0;
  live.idleHeartbeats = 0;
  const policy = job.spec?.retry;
  const retried = policy !== undefined && isRetried(policy, attempt.attempt, failure);
  const innocent = failure === FailureClass.INFRASTRUCTURE || failure === FailureClass.PREEMPTED;
  if (!retried && !(nextAttemptFollows && innocent)) {
    endJob(live, result, now);
    return [];
  }
  const cancel = live.pendingCommands.find(({ record }) => record.kind === CommandKind.CANCEL);
  if (cancel !== undefined) return endWaiting(live, cancel.record.reason, now);
  if (!retried) {
    job.state = JobState.LOST;
    return [];
  }
  waitForNext(live, { policy, attempt, result }, now);
  return closeCommands(live, now, "The attempt has ended");
}

/**
 * Takes the job away from the session of the latest attempt: nothing more is accepted from it, and its log ends here.
 * Must come before the attempt gets a result of the tracker's own, which cannot say how much the job printed.
 *
 * @param why for the agent, if it has a stream
 */
export function fence(live: LiveJob, attempt: Attempt, why: string): void {
  delete attempt.health;
  live.stream?.goodbye(GoodbyeReason.SUPERSEDED, why);
  live.stream = undefined;
  live.keepTotals();
  if (attempt.logCompleteness === LogCompleteness.UNSPECIFIED) {
    const judged = live.log === undefined ? undefined : judgeLog(attempt, live.log.committed);
    attempt.logCompleteness = judged?.logCompleteness ?? LogCompleteness.INCOMPLETE;
    attempt.logMessage = judged?.message ?? UNCOUNTED;
  }
  // Last: a result that an agent reported counts the output, see `isCounted`.
  attempt.superseded = true;
}

/** The result of the latest attempt, whose agent did not report one. @param message one sentence for users */
export function lostResult({ job }: LiveJob, message: string, now: number): JobResult {
  return create(JobResultSchema, {
    outcome: Outcome.FAILED,
    reason: EndReason.AGENT_LOST,
    failureClass: FailureClass.INFRASTRUCTURE,
    message,
    ...(job.startTime === undefined ? {} : { startTime: job.startTime }),
    endTime: timestampFromMs(now),
    after: job.spec === undefined ? [] : afterStepsNotRun(shownOf(job).spec, "The agent was lost"),
  });
}

/** How long nothing came from the agent: `No message from the agent on worker-7 for 12.3s`. */
export function silenceText({ attempt, heardAt, disconnectedAt }: LiveJob, now: number): string {
  const host = attempt?.agent?.hostname ?? "";
  // A tracker that has started since then does not know more than that.
  const since = heardAt === 0 ? (disconnectedAt ?? now) : heardAt;
  return `No message from the agent${host === "" ? "" : ` on ${host}`} for ${formatDuration(now - since)}`;
}

/**
 * The steps after the end for a result whose maker knew nothing of them, such as one that delivers a dead agent's spool.
 *
 * @param step the step that ran last, as far as the events say
 */
function unreportedAfterSteps({ job }: LiveJob, step: number, { reason }: JobResult): AfterStepResult[] {
  const { spec } = job;
  if (spec === undefined || spec.after.length === 0) return [];
  const ranCommand = step > 0 && step <= spec.setup.length + 1;
  const died = ranCommand ? "The agent died" : "The agent died before it could report on this step";
  const why = reason === EndReason.AGENT_LOST ? died : "The agent did not report on this step";
  return afterStepsNotRun(shownOf(job).spec, why);
}

function classOf(result: JobResult): FailureClass {
  const given = result.outcome === Outcome.SUCCEEDED ? FailureClass.UNSPECIFIED : result.failureClass;
  return given === FailureClass.UNSPECIFIED ? failureClass(result) : given;
}

interface Ended {
  readonly policy: RetryPolicy;
  readonly attempt: Attempt;
  readonly result: JobResult;
}

function waitForNext({ job }: LiveJob, { policy, attempt: { attempt }, result }: Ended, now: number): void {
  const delay = Math.ceil(retryDelay(policy, attempt));
  const how = result.message === "" ? "" : `: ${elide(result.message, MOST_REASON)}`;
  const next = `attempt ${attempt + 1} of ${maxAttempts(policy)} follows`;
  job.state = JobState.PENDING;
  job.pendingReason = `Attempt ${attempt} ended with ${reasonName(result.reason)} (${className(result.failureClass)})${how}; ${next}`;
  if (delay > 0) job.pendingFrom = timestampFromMs(now + delay);
  putPendingUntil(job, now + delay, retryWait(policy));
}
