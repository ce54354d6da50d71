import { create } from "@bufbuild/protobuf";
import { durationMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { formatDuration } from "../../../contract/durations.ts";
import { retryWait } from "../../../contract/retry.ts";
import { EndReason, FailureClass, JobResultSchema, JobState, Outcome } from "../../../gen/belay/v1/job_pb.ts";
import { endAttempt, fence, lostResult, silenceText } from "../attempt-end.ts";
import type { ChangedParts } from "../changed-parts.ts";
import type { JobContext } from "../context.ts";
import { closeCommands, endJob, JOB_ENDED } from "../ending.ts";
import type { LiveJob } from "../live-job.ts";

/** Does what the deadline of a job demands: no agent took it in time, or its agent was LOST for too long. */
export async function expire({ registry, clock }: JobContext, live: LiveJob): Promise<void> {
  const { state } = live.job;
  const now = clock.now();
  if (state === JobState.PENDING) await registry.commit(live, endUntaken(live, now));
  else if (state === JobState.LOST) await registry.commit(live, endLost(live, now));
  await registry.settle(live);
}

function endUntaken(live: LiveJob, now: number): ChangedParts {
  const { attempt } = live;
  const { retry, pendingTimeout } = live.job.spec ?? {};
  const what = attempt === undefined ? "the job" : `attempt ${attempt.attempt + 1} of the job`;
  const wait = attempt === undefined ? pendingTimeout && durationMs(pendingTimeout) : retry && retryWait(retry);
  const result = create(JobResultSchema, {
    outcome: Outcome.FAILED,
    reason: EndReason.NO_AGENT,
    failureClass: FailureClass.INFRASTRUCTURE,
    message: `No agent took ${what} within ${formatDuration(wait ?? 0)}`,
    endTime: timestampFromMs(now),
  });
  endJob(live, result, now);
  return { urgent: true };
}

/**
 * Ends an attempt that was LOST for too long. Its agent, if it still runs, is refused and kills its job; what it left if
 * it died can still be delivered.
 */
function endLost(live: LiveJob, now: number): ChangedParts {
  const { attempt } = live;
  if (attempt === undefined) return { urgent: true };
  fence(live, attempt, `Attempt ${attempt.attempt} was LOST for too long`);
  // An agent that died may have delivered its result.
  const result = attempt.result ?? lostResult(live, silenceText(live, now), now);
  const closed = endAttempt(live, result, now);
  return { attempt, commands: [...closed, ...closeCommands(live, now, JOB_ENDED)], urgent: true };
}
