import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Attempt, JobResult } from "../../gen/belay/v1/job_pb.ts";
import {
  CommandKind,
  CommandState,
  EndReason,
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

/** Sets a job's result: from now on the job has ended. */
export function putResult(live: LiveJob, result: JobResult, now: number): void {
  const { job, attempt } = live;
  if (attempt !== undefined) putAttemptEnd(attempt, result);
  job.result = result;
  job.state = endState(result.outcome);
  // The agent's own times count; the events that reported them may have come late.
  if (result.startTime !== undefined) job.startTime = result.startTime;
  job.endTime = result.endTime ?? timestampFromMs(now);
  job.step = 0;
  live.idleHeartbeats = 0;
}

/**
 * Sets the result of the latest attempt, but not of the job: its agent is dead, and the next attempt is about to begin.
 * Until then the job is LOST.
 */
export function putAttemptResult(live: LiveJob, result: JobResult): void {
  const { job, attempt } = live;
  if (attempt !== undefined) putAttemptEnd(attempt, result);
  job.state = JobState.LOST;
  job.step = 0;
  live.idleHeartbeats = 0;
}

function putAttemptEnd(attempt: Attempt, result: JobResult): void {
  attempt.result = result;
  delete attempt.health;
}

/** Ends a job that was never assigned to an agent. */
export function cancelPending(live: LiveJob, reason: string, now: number): void {
  const message = reason === "" ? "Canceled before an agent had it" : `Canceled before an agent had it: ${reason}`;
  const endTime = timestampFromMs(now);
  putResult(
    live,
    create(JobResultSchema, { outcome: Outcome.CANCELED, reason: EndReason.CANCELED, message, endTime }),
    now,
  );
}

/**
 * Decides whether the log of an ended job is complete, if that can be decided now.
 *
 * @param last true: no more of the log will come, so missing bytes stay missing
 * @returns the receipt for the agent if the log is decided, by now or before; undefined: more of the log must come first
 */
export async function decideLog(context: JobContext, live: LiveJob, last: boolean): Promise<Receipt | undefined> {
  const { registry, store, clock } = context;
  const { attempt, log } = live;
  if (attempt?.result === undefined || log === undefined) return undefined;
  if (!last && !hasAllBytes(attempt.result, log.committed)) return undefined;
  // Its file may have been removed while it was written.
  const isThere = log.committed.sequence === 0 || store.hasLog(live.key, attempt.attempt);
  const receipt = isThere ? judgeLog(attempt.result, log.committed) : missingLog(log.committed);
  if (attempt.logCompleteness === receipt.logCompleteness && attempt.logMessage === receipt.message) return receipt;
  attempt.logCompleteness = receipt.logCompleteness;
  attempt.logMessage = receipt.message;
  live.keepTotals();
  // A job that goes on as its next attempt keeps its orders.
  const commands = isEnded(live.job.state) ? closeCommands(live, clock.now()) : [];
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

/** Closes the commands of an ended job that no agent will carry out any more: a cancel is COMPLETED, others REJECTED. */
export function closeCommands(live: LiveJob, now: number): StoredCommand[] {
  const left = live.pendingCommands;
  for (const { record } of left) {
    const done = record.kind === CommandKind.CANCEL;
    record.state = done ? CommandState.COMPLETED : CommandState.REJECTED;
    record.message = "The job has ended";
    record.updateTime = timestampFromMs(now);
  }
  return left;
}
