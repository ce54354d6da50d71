import type { CommandRecord, Job } from "../../gen/belay/v1/job_pb.ts";
import { CommandState } from "../../gen/belay/v1/job_pb.ts";
import type { JobClient } from "./client.ts";
import { watchJob } from "./resume.ts";

/** Whether a command has an answer: from the agent, or from the tracker instead. */
export function isSettled({ state }: CommandRecord): boolean {
  return state === CommandState.COMPLETED || state === CommandState.REJECTED;
}

/**
 * Waits until one of a job's commands is settled.
 *
 * @param see called with the job after each change until then
 * @returns undefined if the job has ended and does not list the command
 */
export async function settledCommand(
  client: JobClient,
  jobId: string,
  commandId: string,
  see: (job: Job) => void,
): Promise<{ job: Job; record: CommandRecord } | undefined> {
  for await (const job of watchJob(client, jobId)) {
    see(job);
    const record = job.commands.find((candidate) => candidate.commandId === commandId);
    if (record !== undefined && isSettled(record)) return { job, record };
  }
  return undefined;
}
