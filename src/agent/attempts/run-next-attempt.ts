import { create } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { systemClock as clock } from "../../base/clock.ts";
import { BelayError } from "../../base/errors.ts";
import {
  EndReason,
  FailureClass,
  type JobResult,
  JobResultSchema,
  JobState,
  Outcome,
} from "../../gen/belay/v1/job_pb.ts";
import type { AttemptSetting } from "../agent-parts.ts";
import type { AgentOptions, AttemptsOutcome } from "../options.ts";
import { runAttempt } from "../run.ts";
import { mustEndJob } from "../stop.ts";
import { JobEndedError } from "../session/job-ended-error.ts";

const NOT_ENDED = "It would have ended the job, as the stop of the agent asks for; the tracker did not answer in time";

/**
 * Waits for the attempt that follows one that this program ran, and runs it.
 *
 * @param last how the attempt before it ended; `next` is set
 */
export async function runNextAttempt(last: AttemptsOutcome, setting: AttemptSetting): Promise<AttemptsOutcome> {
  const { delay = 0 } = last.next ?? {};
  const endTime = last.result.endTime === undefined ? clock.unixMs() : timestampMs(last.result.endTime);
  const startsIn = Math.max(0, endTime + delay - clock.unixMs());
  try {
    return await runAttempt({ ...setting, startsIn });
  } catch (error) {
    return endOfWait(error, last, setting.options);
  }
}

/** How the wait for an attempt ended that was never run. @throws the error, if it says nothing about the job */
function endOfWait(error: unknown, last: AttemptsOutcome, options: AgentOptions): AttemptsOutcome {
  if (error instanceof JobEndedError && error.jobState === JobState.CANCELED) {
    const { next: _, ...rest } = last;
    return { ...rest, undelivered: "", result: canceled(last) };
  }
  if (!(error instanceof BelayError)) throw error;
  if (error.code === "STOPPED") return mustEndJob(options) ? { ...last, notContinued: NOT_ENDED } : last;
  if (error.code === "TRACKER_UNREACHABLE") return { ...last, notContinued: error.message };
  throw error;
}

function canceled({ next }: AttemptsOutcome): JobResult {
  return create(JobResultSchema, {
    outcome: Outcome.CANCELED,
    reason: EndReason.CANCELED,
    failureClass: FailureClass.ORDERED,
    message: `Canceled while it waited for attempt ${next?.attempt}`,
    endTime: timestampFromMs(clock.unixMs()),
  });
}
