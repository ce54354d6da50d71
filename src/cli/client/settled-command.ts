import type { CommandRecord, Job } from "../../gen/belay/v1/job_pb.ts";
import { CommandState } from "../../gen/belay/v1/job_pb.ts";
import type { JobClient } from "./client.ts";
import { watchJob } from "./resume.ts";

/** Whether the agent has answered a command, or the tracker has answered it in the agent's place. */
export function isSettled({ state }: CommandRecord): boolean {
  return state === CommandState.COMPLETED || state === CommandState.REJECTED;
}

/**
 * The job, as soon as one of its commands is settled.
 *
 * @param see called with the job as it stands until then
 * @returns undefined if the job's last change has come and the command is not among those that it shows
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
