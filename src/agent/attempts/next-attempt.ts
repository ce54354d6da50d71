import { timestampDate } from "@bufbuild/protobuf/wkt";
import { isRetried, maxAttempts, retryDelay } from "../../contract/retry.ts";
import { Feature, type JobResult, JobState } from "../../gen/belay/v1/job_pb.ts";
import type { Welcome } from "../../gen/belay/v1/tracker_service_pb.ts";
import type { NextAttempt } from "../options.ts";
import type { SessionEnd } from "../session/session-end.ts";

/**
 * The attempt that follows this one. The tracker decides, and its Receipt says so; where there is no Receipt, the same
 * policy decides here by the same rules.
 *
 * @returns undefined: the job has ended, or the tracker does not know retry policies
 */
export function nextAttempt(
  { attempt, retry, features }: Welcome,
  result: JobResult,
  end: SessionEnd,
): NextAttempt | undefined {
  if (retry === undefined || !features.includes(Feature.ATTEMPTS)) return undefined;
  const receipt = end.kind === "delivered" ? end.receipt : undefined;
  const follows =
    receipt === undefined
      ? end.kind !== "refused" && isRetried(retry, attempt, result.failureClass)
      : receipt.jobState === JobState.PENDING;
  if (!follows) return undefined;
  return {
    attempt: attempt + 1,
    of: maxAttempts(retry),
    delay: retryDelay(retry, attempt),
    ...(receipt?.pendingFrom !== undefined && { from: timestampDate(receipt.pendingFrom) }),
  };
}
