import { BelayError } from "../../base/errors.ts";
import type { JobState } from "../../gen/belay/v1/job_pb.ts";

/** The tracker refuses the agent since the job has ended. */
export class JobEndedError extends BelayError {
  readonly jobState: JobState;

  constructor(message: string, jobState: JobState) {
    super("TRACKER_REFUSED", message);
    this.jobState = jobState;
  }
}
