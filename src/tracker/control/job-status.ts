import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, durationMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { formatDuration } from "../../contract/durations.ts";
import { shortId } from "../../base/ids.ts";
import { CommandKind, JobState, StatusReportSchema } from "../../gen/belay/v1/job_pb.ts";
import type { GetJobStatusRequest, GetJobStatusResponseSchema } from "../../gen/belay/v1/job_service_pb.ts";
import { CommandSchema, StatusSchema } from "../../gen/belay/v1/tracker_service_pb.ts";
import { snapshotOf } from "../jobs/shown/snapshot.ts";
import { shownOf } from "../jobs/shown/shown.ts";
import type { StatusAnswer } from "../jobs/agent-connection.ts";
import type { LiveJob } from "../jobs/live-job.ts";
import type { ControlContext } from "./context.ts";
import { check, jobOf } from "./context.ts";
import { CallScope } from "../../base/wakeup.ts";
import { stateName } from "../../contract/names.ts";
import { isEnded } from "../../contract/states.ts";

const DEFAULT_WAIT_MS = 5_000;
const MAX_WAIT_MS = 60_000;

/** Asks the agent for the current state of its job. The question is not stored: it ends with the call. */
export async function getJobStatus(
  context: ControlContext,
  request: GetJobStatusRequest,
  signal: AbortSignal,
): Promise<MessageInitShape<typeof GetJobStatusResponseSchema>> {
  const { registry, clock } = context;
  const wait = request.wait === undefined ? DEFAULT_WAIT_MS : durationMs(request.wait);
  check(wait < 0 || wait > MAX_WAIT_MS ? `wait is ${wait / 1000} s: expected 0 to 60 s` : undefined);
  const live = await jobOf(registry, request.jobId);
  const silent = noAnswerFrom(live);
  if (silent !== undefined) return { job: snapshotOf(live), message: silent };
  const asked = clock.monotonic();
  using scope = new CallScope(signal);
  const answer = await askAgent(live, context, wait, scope);
  if (!("report" in answer)) return { job: snapshotOf(live), message: shownOf(live.job).text(answer.rejected) };
  return {
    job: snapshotOf(live),
    report: shownOf(live.job).message(StatusReportSchema, answer.report),
    roundTrip: durationFromMs(Math.round(clock.monotonic() - asked)),
  };
}

/** Why the agent will not answer. Undefined: it may. */
function noAnswerFrom(live: LiveJob): string | undefined {
  const { state } = live.job;
  if (state === JobState.PENDING) {
    return live.attempt === undefined
      ? "No agent has the job yet"
      : `No agent has the job: it waits for attempt ${live.attempt.attempt + 1}`;
  }
  if (isEnded(state)) return `The job has ended: it is ${stateName(state)}`;
  if (live.stream === undefined) return "The agent is not connected";
  if (!live.stream.supports(CommandKind.STATUS)) return "The agent does not know status commands";
  return undefined;
}

function askAgent(live: LiveJob, context: ControlContext, wait: number, scope: CallScope): Promise<StatusAnswer> {
  const { clock } = context;
  const id = shortId();
  const order = { case: "status" as const, value: create(StatusSchema) };
  const command = create(CommandSchema, { commandId: id, issueTime: timestampFromMs(clock.now()), order });
  return new Promise((answer) => {
    const timer = clock.after(wait, () =>
      answer({ rejected: `The agent did not answer within ${formatDuration(wait)}` }),
    );
    scope.defer(() => {
      timer.cancel();
      live.probes.delete(id);
      answer({ rejected: "The call was given up" });
    });
    live.probes.set(id, { command, answer });
    live.stream?.send(command);
  });
}
