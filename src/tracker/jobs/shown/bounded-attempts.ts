import { create, toBinary } from "@bufbuild/protobuf";
import { elide } from "../../../base/text/elide.ts";
import { MiB } from "../../../base/text/sizes.ts";
import type { Attempt, JobResult } from "../../../gen/belay/v1/job_pb.ts";
import { AttemptSchema, JobResultSchema } from "../../../gen/belay/v1/job_pb.ts";

/**
 * Most bytes of a job as callers see it. An answer has 3 MiB at most: the rest is for what some answers hold beside the
 * job, such as an agent's report.
 */
export const MAX_JOB_BYTES: number = 2.75 * MiB;
/** So few attempts are not measured: with the 64 KiB of their agents' descriptions they are far below the bound. */
const UNMEASURED = 8;
/** Most characters of a result's message in an attempt that is shown without details. */
const MOST_MESSAGE = 256;
/** Tag and length of an attempt in its job. */
const FRAME_BYTES = 6;

/**
 * The attempts of a job that fit into an answer: the oldest are shown without details if necessary, and left out if that
 * is not enough. The latest is always whole.
 *
 * @param rest bytes of the job without its attempts
 */
export function boundedAttempts(attempts: readonly Attempt[], rest: () => number): Attempt[] {
  if (attempts.length <= UNMEASURED) return [...attempts];
  const shown = attempts.map((attempt) => ({ attempt, bytes: bytesOf(attempt) }));
  let excess = shown.reduce((sum, { bytes }) => sum + bytes, rest() - MAX_JOB_BYTES);
  for (const part of shown.slice(0, -1)) {
    if (excess <= 0) break;
    const attempt = withoutDetails(part.attempt);
    const bytes = bytesOf(attempt);
    excess -= part.bytes - bytes;
    Object.assign(part, { attempt, bytes });
  }
  let leftOut = 0;
  for (; excess > 0 && leftOut < shown.length - 1; leftOut++) excess -= shown[leftOut]?.bytes ?? 0;
  return shown.slice(leftOut).map(({ attempt }) => attempt);
}

/** As the contract has it: see `Job.attempts`. */
function withoutDetails(whole: Attempt): Attempt {
  const { attempt, sessionId, principal, superseded, createTime, stored, logCompleteness, result } = whole;
  return create(AttemptSchema, {
    attempt,
    sessionId,
    principal,
    superseded,
    stored,
    logCompleteness,
    ...(createTime === undefined ? {} : { createTime }),
    ...(result === undefined ? {} : { result: summaryOf(result) }),
  });
}

function summaryOf(result: JobResult): JobResult {
  const { outcome, reason, exitCode, signal, message, step, startTime, endTime, failureClass } = result;
  return create(JobResultSchema, {
    outcome,
    reason,
    signal,
    message: elide(message, MOST_MESSAGE),
    step,
    failureClass,
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(startTime === undefined ? {} : { startTime }),
    ...(endTime === undefined ? {} : { endTime }),
  });
}

function bytesOf(attempt: Attempt): number {
  return FRAME_BYTES + toBinary(AttemptSchema, attempt).byteLength;
}
