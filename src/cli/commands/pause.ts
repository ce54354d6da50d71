import { PauseJobResponseSchema, ResumeJobResponseSchema } from "../../gen/belay/v1/job_service_pb.ts";
import type { Command } from "../flags/command.ts";
import { orderCommand } from "./order-command.ts";

/** `belay pause` */
export const pause: Command = orderCommand({
  name: "pause",
  about: "Stops all processes of a job until belay resume. They keep their memory.",
  examples: [["belay pause train-17", "someone needs the machine for a while"]],
  answer: PauseJobResponseSchema,
  order: () => (jobs, request) => jobs.pauseJob(request),
  done: (jobId) => `${jobId} is paused`,
});

/** `belay resume` */
export const resume: Command = orderCommand({
  name: "resume",
  about: "Lets the processes of a paused job go on.",
  examples: [["belay resume train-17", "the machine is free again"]],
  answer: ResumeJobResponseSchema,
  order: () => (jobs, request) => jobs.resumeJob(request),
  done: (jobId) => `${jobId} goes on`,
});
