import type { Job } from "../../gen/belay/v1/job_pb.ts";
import { LogCompleteness } from "../../gen/belay/v1/job_pb.ts";
import { isEnded } from "../../contract/states.ts";

/** Whether the job may still change: it has not ended, or the completeness of its log is not decided. */
export function isOpen(job: Job): boolean {
  if (!isEnded(job.state)) return true;
  const last = job.attempts.at(-1);
  return last !== undefined && last.logCompleteness === LogCompleteness.UNSPECIFIED;
}
