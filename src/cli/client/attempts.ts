import { isEnded } from "../../contract/states.ts";
import type { FollowOptions, JobClient } from "./client.ts";
import { watchJob } from "./resume.ts";

/** The message between two attempts for a user who follows a job. */
export function nextAttemptText(jobId: string, attempt: number): string {
  return `Attempt ${attempt - 1} of "${jobId}" is over; attempt ${attempt} follows`;
}

/** See throughAttempts. */
export interface AttemptOptions extends FollowOptions {
  /** Called before a further attempt is read. */
  readonly onNext?: (attempt: number) => Promise<void> | void;
}

/**
 * Reads the latest attempt of a job, and then each one that follows, up to the job's end. Waits for the first attempt,
 * and, while the job is LOST, for the next.
 *
 * @param read reads one attempt to its end
 */
export async function* throughAttempts<T>(
  client: JobClient,
  jobId: string,
  read: (attempt: number, isFirst: boolean) => AsyncGenerator<T, void, undefined>,
  options: AttemptOptions = {},
): AsyncGenerator<T, void, undefined> {
  let last = 0;
  for (;;) {
    const next = await attemptAfter(client, jobId, last, options);
    if (next === undefined) return;
    if (last > 0) await options.onNext?.(next);
    yield* read(next, last === 0);
    last = next;
  }
}

/** The latest attempt, or the one after `last`, as soon as there is one. Undefined: the job has ended without one. */
async function attemptAfter(
  client: JobClient,
  jobId: string,
  last: number,
  options: FollowOptions,
): Promise<number | undefined> {
  for await (const job of watchJob(client, jobId, options)) {
    const latest = job.attempts.at(-1)?.attempt ?? 0;
    if (latest > last) return last === 0 ? latest : last + 1;
    if (isEnded(job.state)) return undefined;
  }
  return undefined;
}
