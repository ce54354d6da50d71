import type { CommandRecord } from "../../gen/belay/v1/job_pb.ts";
import { CommandState } from "../../gen/belay/v1/job_pb.ts";
import type { Io } from "../process/io.ts";
import { clean } from "./clean.ts";

/** The state of a command right after it was given. */
export function orderText(
  jobId: string,
  order: string,
  record: CommandRecord | undefined,
  agentConnected: boolean,
): string {
  if (record?.state === CommandState.REJECTED) return `${order} was rejected for ${jobId}: ${clean(record.message)}\n`;
  if (!agentConnected) return `${order} waits for the agent of ${jobId}, which is not connected\n`;
  return `${order} is on its way to ${jobId}\n`;
}

/** Prints the tracker's warning that it has sent an order but could not store it. */
export async function warnIfNotStored(record: CommandRecord | undefined, io: Io): Promise<void> {
  if (record?.state !== CommandState.QUEUED || record.message === "") return;
  await io.stderr.write(`belay: ${clean(record.message)}\n`);
}
