import { durationMs } from "@bufbuild/protobuf/wkt";
import { FailureClass, type RetryPolicy } from "../gen/belay/v1/job_pb.ts";

/** Most attempts that a policy may allow: each is kept with the job. */
export const MAX_ATTEMPTS = 1000;
/** Longest delay between two attempts if the policy gives none. Milliseconds. */
export const DEFAULT_MAX_DELAY_MS: number = 60 * 60_000;
/** How long a job waits for an agent that takes its next attempt, if the policy gives no time. Milliseconds. */
export const DEFAULT_WAIT_MS: number = 24 * 60 * 60_000;

/** The classes for a policy without classes. */
export const DEFAULT_RETRY_CLASSES: readonly FailureClass[] = [FailureClass.PREEMPTED, FailureClass.INFRASTRUCTURE];

/** How many attempts the policy allows. */
export function maxAttempts(policy: RetryPolicy | undefined): number {
  return policy?.maxAttempts ?? 1;
}

/** The classes after which the policy allows another attempt. */
export function retryClasses({ on }: RetryPolicy): readonly FailureClass[] {
  return on.length === 0 ? DEFAULT_RETRY_CLASSES : on;
}

/** Whether an attempt that ended with this class is followed by another one. The same at agent and tracker. */
export function isRetried(policy: RetryPolicy | undefined, attempt: number, failure: FailureClass): boolean {
  if (policy === undefined || failure === FailureClass.UNSPECIFIED || failure === FailureClass.ORDERED) return false;
  return attempt < maxAttempts(policy) && retryClasses(policy).includes(failure);
}

/**
 * Milliseconds from the end of an attempt to the earliest start of the next one: `delay`, doubled for each attempt
 * after the first, and never more than `max_delay`.
 *
 * @param attempt the number of the attempt that has ended
 */
export function retryDelay(policy: RetryPolicy, attempt: number): number {
  const delay = policy.delay === undefined ? 0 : durationMs(policy.delay);
  const most = policy.maxDelay === undefined ? DEFAULT_MAX_DELAY_MS : durationMs(policy.maxDelay);
  return Math.min(delay * 2 ** (attempt - 1), Math.max(most, 0));
}

/** How long a job waits for an agent after the delay, in milliseconds. 0: without limit. */
export function retryWait({ wait }: RetryPolicy): number {
  return wait === undefined ? DEFAULT_WAIT_MS : durationMs(wait);
}
