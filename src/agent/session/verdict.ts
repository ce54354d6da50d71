import { status } from "@grpc/grpc-js";

/**
 * What the end of a stream means for its session.
 *
 * - `retry`: dial again.
 * - `refused`: give up; the job, if it runs, runs on to its end, and its outcome is not delivered.
 * - `fenced`: give up and kill the job: it belongs to somebody else, or is to be ended.
 */
export type Verdict = "retry" | "refused" | "fenced";

/**
 * Which status codes end a session. One table, with reasons; codes that it does not name are retried, because a code
 * of a proxy or of a tracker's bad moment must not kill a healthy job.
 */
const ENDING: Partial<Record<status, { first: Verdict; later: Verdict }>> = {
  // A message of ours broke the contract; the same message would be sent again.
  [status.INVALID_ARGUMENT]: { first: "refused", later: "refused" },
  // The job is unknown and we have no spec for it. Later: a tracker that lost its data, or the wrong one at the address;
  // a running job cannot be deleted, so it may be found again.
  [status.NOT_FOUND]: { first: "refused", later: "retry" },
  // The job has ended or was taken over.
  [status.FAILED_PRECONDITION]: { first: "refused", later: "fenced" },
  // A wrong token will not get better before anything runs; later it may be in rotation.
  [status.UNAUTHENTICATED]: { first: "refused", later: "retry" },
  [status.PERMISSION_DENIED]: { first: "refused", later: "retry" },
  // Something that speaks gRPC but is no Belay tracker; later: a deployment behind a proxy in a half-way state.
  [status.UNIMPLEMENTED]: { first: "refused", later: "retry" },
};

/** @param welcomed whether the session has ever been welcomed */
export function verdictOn(code: status, welcomed: boolean): Verdict {
  return ENDING[code]?.[welcomed ? "later" : "first"] ?? "retry";
}
