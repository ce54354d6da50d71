import { SignalJobResponseSchema } from "../../gen/belay/v1/job_service_pb.ts";
import type { Command } from "../flags/command.ts";
import { orderCommand } from "./order-command.ts";
import { signalName } from "../spec/job-spec.ts";

/** `belay signal` */
export const signal: Command = orderCommand({
  name: "signal",
  args: [{ name: "<signal>", help: "name of the signal, such as USR1 or SIGUSR1" }],
  about: "Sends a signal to every process of a job.",
  examples: [["belay signal train-17 USR1", "for example, to request a checkpoint"]],
  answer: SignalJobResponseSchema,
  order: ([given = ""]) => {
    const signal = signalName(given, "the signal");
    return (jobs, request) => jobs.signalJob({ ...request, signal });
  },
  done: (jobId, message) => (message === "" ? `The signal was sent to ${jobId}` : `${jobId}: ${message}`),
});
