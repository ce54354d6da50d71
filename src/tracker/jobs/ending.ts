import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { JobResult } from "../../gen/belay/v1/job_pb.ts";
import {
  CommandKind,
  CommandState,
  EndReason,
  FailureClass,
  JobResultSchema,
  JobState,
  LogCompleteness,
  Outcome,
} from "../../gen/belay/v1/job_pb.ts";
import type { Receipt } from "../../gen/belay/v1/tracker_service_pb.ts";
import type { StoredCommand } from "../store/types.ts";
import { hasAllBytes, judgeLog, missingLog } from "./completeness.ts";
import type { LiveJob } from "./live-job.ts";
import type { JobContext } from "./context.ts";
import type { JobRegistry } from "./registry.ts";
import { isEnded } from "../../contract/states.ts";
import { endState } from "../../contract/states.ts";

/** The message of a command that is closed by the end of its job. */
export const JOB_ENDED = "The job has ended";

/** Ends a job: there is no further attempt. The result of its latest attempt is set before: see `endAttempt`. */
export function endJob({ job }: LiveJob, result: JobResult, now: number): void {
  job.result = result;
  job.state = endState(result.outcome);
  job.endTime = result.endTime ?? timestampFromMs(now);
}

/** Whether no agent has the job: it is PENDING, or its agent is known to be dead and the next one has not come. */
export function isWaiting({ job, attempt }: LiveJob): boolean {
  return job.state === JobState.PENDING || (job.state === JobState.LOST && attempt?.result !== undefined);
}

/**
 * Ends a job that is canceled while no agent has it: before its first attempt, or between two.
 *
 * @returns the commands that are closed by it
 */
export function endWaiting(live: LiveJob, reason: string, now: number): StoredCommand[] {
  const { attempt } = live;
  const when = attempt === undefined ? "before an agent had it" : `while it waited for attempt ${attempt.attempt + 1}`;
  const result = create(JobResultSchema, {
    outcome: Outcome.CANCELED,
    reason: EndReason.CANCELED,
    failureClass: FailureClass.ORDERED,
    message: `Canceled ${when}${reason === "" ? "" : `: ${reason}`}`,
    endTime: timestampFromMs(now),
  });
  endJob(live, result, now);
  return closeCommands(live, now, JOB_ENDED);
}

/**
 * Decides whether the log of an ended attempt is complete, if that can be decided now.
 *
 * @param last true: no more of the log will come, so missing bytes stay missing
 * @returns the receipt for the agent if the log is decided, by now or before; undefined: more of the log must come first
 */
export async function decideLog(context: JobContext, live: LiveJob, last: boolean): Promise<Receipt | undefined> {
  const { registry, store, clock } = context;
  const { attempt, log } = live;
  if (attempt?.result === undefined || log === undefined) return undefined;
  if (!last && !hasAllBytes(attempt, log.committed)) return undefined;
  // Its file may have been removed while it was written.
  const isThere = log.committed.sequence === 0 || store.hasLog(live.key, attempt.attempt);
  const receipt = isThere ? judgeLog(attempt, log.committed) : missingLog(log.committed);
  receipt.jobState = live.job.state;
  if (live.job.pendingFrom !== undefined) receipt.pendingFrom = live.job.pendingFrom;
  if (attempt.logCompleteness === receipt.logCompleteness && attempt.logMessage === receipt.message) return receipt;
  attempt.logCompleteness = receipt.logCompleteness;
  attempt.logMessage = receipt.message;
  live.keepTotals();
  // A job that goes on as its next attempt keeps its orders.
  const commands = isEnded(live.job.state) ? closeCommands(live, clock.now(), JOB_ENDED) : [];
  await registry.commit(live, { attempt, commands, urgent: true });
  return receipt;
}

/** Whether the log's completeness is still open. */
export function isLogUndecided(live: LiveJob): boolean {
  return live.attempt?.result !== undefined && live.attempt.logCompleteness === LogCompleteness.UNSPECIFIED;
}

/** Records that part of an attempt's log, which was complete, can no longer be read. */
export async function noteDamage(registry: JobRegistry, live: LiveJob, number: number, what: string): Promise<void> {
  const attempt = live.job.attempts.find((candidate) => candidate.attempt === number);
  if (attempt?.logCompleteness !== LogCompleteness.COMPLETE) return;
  attempt.logCompleteness = LogCompleteness.INCOMPLETE;
  attempt.logMessage = what;
  // The registry reports a failure to store it; the read goes on.
  await registry.commit(live, { attempt, urgent: true, lasting: true }).catch(() => undefined);
}

/**
 * Closes the commands that no agent will carry out any more: a cancel is COMPLETED, others REJECTED.
 *
 * @param why one sentence for users
 */
export function closeCommands(live: LiveJob, now: number, why: string): StoredCommand[] {
  const left = live.pendingCommands;
  for (const { record } of left) {
    const done = record.kind === CommandKind.CANCEL;
    record.state = done ? CommandState.COMPLETED : CommandState.REJECTED;
    record.message = why;
    record.updateTime = timestampFromMs(now);
  }
  return left;
}
