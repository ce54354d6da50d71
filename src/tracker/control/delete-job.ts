import { Code, ConnectError } from "@connectrpc/connect";
import { JobState } from "../../gen/belay/v1/job_pb.ts";
import type { DeleteJobRequest } from "../../gen/belay/v1/job_service_pb.ts";
import { stateName } from "../../contract/names.ts";
import { isEnded } from "../../contract/states.ts";
import type { ControlContext } from "./context.ts";
import { jobOf } from "./context.ts";

/** Removes an ended job. @throws ConnectError INVALID_ARGUMENT, NOT_FOUND, or FAILED_PRECONDITION if it has not ended */
export async function deleteJob({ registry }: ControlContext, { jobId }: DeleteJobRequest): Promise<object> {
  const live = await jobOf(registry, jobId);
  const { state } = live.job;
  if (!isEnded(state)) {
    const text = `Cannot delete job "${jobId}": it is ${stateName(state)}; ${howToEnd(state, jobId)}`;
    throw new ConnectError(text, Code.FailedPrecondition);
  }
  await registry.remove(live);
  return {};
}

/** What must happen before the job has ended. */
function howToEnd(state: JobState, jobId: string): string {
  switch (state) {
    case JobState.LOST:
      return (
        "its agent may come back with it. Cancel it: it ends when that agent is back, or at once when another one " +
        `takes it, as "belay run --job ${jobId}" does`
      );
    case JobState.CANCELING:
      return "wait until it has ended";
    default:
      return "cancel it first";
  }
}
