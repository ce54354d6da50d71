import type { MessageInitShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import { durationMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { formatDuration } from "../../contract/durations.ts";
import type { JobResult } from "../../gen/belay/v1/job_pb.ts";
import {
  EndReason,
  FailureClass,
  JobResultSchema,
  JobState,
  LogCompleteness,
  Outcome,
} from "../../gen/belay/v1/job_pb.ts";
import { GoodbyeReason } from "../../gen/belay/v1/tracker_service_pb.ts";
import type { ChangedParts } from "./changed-parts.ts";
import type { JobContext } from "./context.ts";
import { closeCommands, putResult } from "./ending.ts";
import type { LiveJob } from "./live-job.ts";

/** Does what the deadline of a job demands: no agent took it in time, or its agent was LOST for too long. */
export async function expire({ registry, clock }: JobContext, live: LiveJob): Promise<void> {
  const { state } = live.job;
  const now = clock.now();
  if (state === JobState.PENDING) await registry.commit(live, endUntaken(live, now));
  else if (state === JobState.LOST) await registry.commit(live, endLost(live, now));
  await registry.settle(live);
}

function endUntaken(live: LiveJob, now: number): ChangedParts {
  const wait = live.job.spec?.pendingTimeout;
  const within = formatDuration(wait === undefined ? 0 : durationMs(wait));
  const endTime = timestampFromMs(now);
  putResult(live, failure(EndReason.NO_AGENT, { message: `No agent took the job within ${within}`, endTime }), now);
  return { urgent: true };
}

/** Ends an attempt that was LOST for too long. Nothing more is accepted from its session: its agent kills its job. */
function endLost(live: LiveJob, now: number): ChangedParts {
  const { attempt } = live;
  if (attempt === undefined) return { urgent: true };
  live.keepTotals();
  attempt.superseded = true;
  live.stream?.goodbye(GoodbyeReason.SUPERSEDED, `Attempt ${attempt.attempt} was LOST for too long`);
  live.stream = undefined;
  // An agent that died may have delivered its result.
  const result = attempt.result ?? failure(EndReason.AGENT_LOST, { message: silenceText(live, now) });
  putResult(live, result, now);
  if (attempt.logCompleteness === LogCompleteness.UNSPECIFIED) {
    attempt.logCompleteness = LogCompleteness.INCOMPLETE;
    attempt.logMessage = "the agent was lost: it is not known how much the job printed";
  }
  return { attempt, commands: closeCommands(live, now), urgent: true };
}

function silenceText({ attempt, heardAt, disconnectedAt }: LiveJob, now: number): string {
  const host = attempt?.agent?.hostname ?? "";
  // A tracker that has started since then does not know more than that.
  const since = heardAt === 0 ? (disconnectedAt ?? now) : heardAt;
  return `No message from the agent${host === "" ? "" : ` on ${host}`} for ${formatDuration(now - since)}`;
}

function failure(reason: EndReason, fields: MessageInitShape<typeof JobResultSchema>): JobResult {
  const failureClass = FailureClass.INFRASTRUCTURE;
  return create(JobResultSchema, { outcome: Outcome.FAILED, reason, failureClass, ...fields });
}
