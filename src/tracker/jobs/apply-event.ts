import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Attempt, CommandState, type JobResult, JobResultSchema } from "../../gen/belay/v1/job_pb.ts";
import type { CommandUpdate, Event } from "../../gen/belay/v1/tracker_service_pb.ts";
import type { StoredCommand } from "../store/types.ts";
import { endAttempt } from "./attempt-end.ts";
import { isCounted } from "./completeness.ts";
import { putHealth } from "./health.ts";
import type { LiveJob } from "./live-job.ts";
import type { ChangedParts } from "./changed-parts.ts";
import { isEnded } from "../../contract/states.ts";
import { isRunning } from "../../contract/states.ts";

/** Most characters of an agent's message about a command: one answer shows a job with up to a hundred commands. */
const MOST_MESSAGE = 4096;

/**
 * Changes a job by an event of its latest attempt. Unknown events and states change nothing.
 *
 * @param nextAttemptFollows as in Hello
 * @returns the changes, which must be stored. They are urgent, except for the start of a step, whose arguments may be
 * long
 */
export function applyEvent(live: LiveJob, event: Event, now: number, nextAttemptFollows: boolean): ChangedParts {
  return { ...apply(live, event, now, nextAttemptFollows), urgent: event.kind.case !== "stepStarted" };
}

function apply(live: LiveJob, event: Event, now: number, nextAttemptFollows: boolean): ChangedParts {
  const { job, attempt } = live;
  if (attempt === undefined) return { keepsVersion: true };
  const parts = { attempt, event: { attempt: attempt.attempt, event } };
  // After its result, an attempt changes no more, whatever has become of the job.
  const over = attempt.result !== undefined || isEnded(job.state);
  const { kind } = event;
  switch (kind.case) {
    case "stateChange":
      if (over || !isRunning(kind.value.state)) return { ...parts, keepsVersion: true };
      job.state = kind.value.state;
      return parts;
    case "stepStarted":
      if (over) return { ...parts, keepsVersion: true };
      job.step = kind.value.step;
      job.startTime ??= event.eventTime ?? timestampFromMs(now);
      return parts;
    case "stepEnded":
      if (job.step === kind.value.step) job.step = 0;
      return parts;
    case "metricSample":
      attempt.metrics = kind.value;
      return { ...parts, keepsVersion: true };
    case "jobMetrics":
      if (kind.value.progress === undefined) return { ...parts, keepsVersion: true };
      attempt.progress = kind.value.progress;
      return parts;
    case "commandUpdate": {
      const command = updateCommand(live, kind.value, now);
      return command === undefined ? { ...parts, keepsVersion: true } : { ...parts, commands: [command] };
    }
    case "result":
      // The first result counts.
      if (over) return addCounts(attempt, kind.value) ? parts : { ...parts, keepsVersion: true };
      return { ...parts, commands: endAttempt(live, inOwnMemory(kind.value), now, nextAttemptFollows) };
    case "health":
      return putHealth(attempt, kind.value) ? parts : { ...parts, keepsVersion: true };
    case undefined:
      return { attempt, keepsVersion: true };
  }
}

/**
 * The same result in memory of its own. Bytes and unknown fields that were decoded are views of the agent's message, whose
 * memory, 64 KiB, they would keep; and a result is kept as long as its job, which may have a thousand attempts.
 */
function inOwnMemory(result: JobResult): JobResult {
  return fromBinary(JobResultSchema, toBinary(JobResultSchema, result));
}

/**
 * Adds what a dead agent's own report counts to the result that the tracker made for it. All else of that result, and
 * the job's, stays as it is.
 *
 * @returns whether it has changed
 */
function addCounts(attempt: Attempt, counted: JobResult): boolean {
  const { result } = attempt;
  if (result === undefined || isCounted(attempt) || counted.streams.length === 0) return false;
  const { streams } = inOwnMemory(counted);
  // Not in place: the job may have the same object.
  attempt.result = create(JobResultSchema, { ...result, streams });
  return true;
}

function updateCommand(live: LiveJob, update: CommandUpdate, now: number): StoredCommand | undefined {
  const probe = live.probes.get(update.commandId);
  if (probe !== undefined) {
    if (update.status !== undefined) probe.answer({ report: update.status });
    else if (update.state === CommandState.REJECTED) probe.answer({ rejected: update.message });
    return undefined;
  }
  const command = live.commands.get(update.commandId);
  // A command's state never goes back: a RECEIVED that was resent after COMPLETED changes nothing.
  if (command === undefined || update.state <= command.record.state || update.state > CommandState.REJECTED) {
    return undefined;
  }
  command.record.state = update.state;
  command.record.message = update.message.slice(0, MOST_MESSAGE);
  command.record.updateTime = timestampFromMs(now);
  return command;
}
