import type { Client } from "@connectrpc/connect";
import { ConnectError } from "@connectrpc/connect";
import type { Job } from "../gen/belay/v1/job_pb.ts";
import { JobState } from "../gen/belay/v1/job_pb.ts";
import type { JobService } from "../gen/belay/v1/job_service_pb.ts";
import { stateName } from "../contract/names.ts";

/** A job's state as people say it. */
export type StateName = Exclude<keyof typeof JobState, "UNSPECIFIED">;

/** See waitForState. */
export interface WaitOptions {
  /** Milliseconds. @default 10_000 */
  readonly timeout?: number;
}

/**
 * Waits until a job is in one of some states.
 *
 * ```ts
 * const job = await waitForState(tracker.client, "j1", ["SUCCEEDED", "FAILED"]);
 * expect(job.result?.exitCode).toBe(0);
 * ```
 *
 * @returns the job at that moment
 * @throws Error that names the state it is in instead, when the time is up or the job has ended in another state
 */
export async function waitForState(
  client: Client<typeof JobService>,
  jobId: string,
  states: StateName | readonly StateName[],
  options: WaitOptions = {},
): Promise<Job> {
  const wanted = [states].flat();
  const timeout = options.timeout ?? 10_000;
  let last: Job | undefined;
  const given = `job "${jobId}" to be ${wanted.join(" or ")}`;
  try {
    for await (const { job } of client.watchJob({ jobId }, { signal: AbortSignal.timeout(timeout) })) {
      last = job;
      if (job !== undefined && wanted.some((name) => JobState[name] === job.state)) return job;
    }
  } catch (error) {
    const why = ConnectError.from(error).rawMessage;
    const found = last === undefined ? why : `it is ${stateName(last.state)} after ${timeout} ms`;
    throw new Error(`Waited for ${given}: ${found}`, { cause: error });
  }
  throw new Error(`Waited for ${given}: it has ended ${last === undefined ? "" : stateName(last.state)}`);
}
