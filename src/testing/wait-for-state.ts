import type { Client } from "@connectrpc/connect";
import { ConnectError } from "@connectrpc/connect";
import { checkArgument, checkOptions, milliseconds, oneOf, type Rules } from "../base/options.ts";
import type { Job } from "../gen/belay/v1/job_pb.ts";
import { JobState } from "../gen/belay/v1/job_pb.ts";
import type { JobService } from "../gen/belay/v1/job_service_pb.ts";
import { stateName } from "../contract/names.ts";

/** The name of a job's state, such as `RUNNING`. */
export type StateName = Exclude<keyof typeof JobState, "UNSPECIFIED">;

/** See waitForState. */
export interface WaitOptions {
  /** Milliseconds. @default 10_000 */
  readonly timeout?: number;
}

const RULES: Rules<WaitOptions> = { timeout: milliseconds() };

const stateNames = oneOf(...Object.keys(JobState).filter((name) => name !== "UNSPECIFIED"));

/**
 * Waits until a job is in one of some states.
 *
 * ```ts
 * const job = await waitForState(tracker.client, "j1", ["SUCCEEDED", "FAILED"]);
 * expect(job.result?.exitCode).toBe(0);
 * ```
 *
 * @returns the job at that moment
 * @throws BelayError `BAD_USAGE` for an argument that cannot be used
 * @throws Error that names the job's state, when the time is up or the job has ended in another state
 */
export async function waitForState(
  client: Client<typeof JobService>,
  jobId: string,
  states: StateName | readonly StateName[],
  given: WaitOptions = {},
): Promise<Job> {
  const options = checkOptions("waitForState", given, RULES);
  const wanted = [states].flat();
  for (const state of wanted) checkArgument("waitForState", "states", state, stateNames);
  const isWanted = ({ state }: Job): boolean => wanted.some((name) => JobState[name] === state);
  return await watchUntil(client, jobId, isWanted, `to be ${wanted.join(" or ")}`, options);
}

/**
 * Waits until a condition holds for a job: on its attempts, its commands, its result.
 *
 * ```ts
 * await waitForJob(tracker.client, "j1", ({ attempts }) => attempts[0]?.connected === false);
 * ```
 *
 * @returns the job at that moment
 * @throws BelayError `BAD_USAGE` for an option that cannot be used
 * @throws Error that names the job's state, when the time is up or the job has ended without meeting the condition
 */
export async function waitForJob(
  client: Client<typeof JobService>,
  jobId: string,
  isWanted: (job: Job) => boolean,
  given: WaitOptions = {},
): Promise<Job> {
  const options = checkOptions("waitForJob", given, RULES);
  return await watchUntil(client, jobId, isWanted, "to be as wanted", options);
}

async function watchUntil(
  client: Client<typeof JobService>,
  jobId: string,
  isWanted: (job: Job) => boolean,
  what: string,
  { timeout = 10_000 }: WaitOptions,
): Promise<Job> {
  let last: Job | undefined;
  const waited = `job "${jobId}" ${what}`;
  const over = new AbortController();
  const signal = AbortSignal.any([AbortSignal.timeout(timeout), over.signal]);
  try {
    for await (const { job } of client.watchJob({ jobId }, { signal })) {
      // Only a keepalive.
      if (job === undefined) continue;
      last = job;
      if (isWanted(job)) return job;
    }
  } catch (error) {
    const why = ConnectError.from(error).rawMessage;
    const state = last === undefined ? why : `it is ${stateName(last.state)} after ${timeout} ms`;
    throw new Error(`Waited for ${waited}: ${state}`, { cause: error });
  } finally {
    // Leaving the loop does not end the call: connect's client would keep it open, and the tracker its watcher.
    over.abort();
  }
  throw new Error(`Waited for ${waited}: it has ended ${last === undefined ? "" : stateName(last.state)}`);
}
