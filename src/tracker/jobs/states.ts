import type { Job } from "../../gen/belay/v1/job_pb.ts";
import { LogCompleteness } from "../../gen/belay/v1/job_pb.ts";
import { isEnded } from "../../contract/states.ts";

/** Whether anything of the job may still come: it has not ended, or its log is not decided. */
export function isOpen(job: Job): boolean {
  if (!isEnded(job.state)) return true;
  const last = job.attempts.at(-1);
  return last !== undefined && last.logCompleteness === LogCompleteness.UNSPECIFIED;
}
