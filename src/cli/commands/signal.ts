import { shortId } from "../../base/ids.ts";
import { SignalJobResponseSchema } from "../../gen/belay/v1/job_service_pb.ts";
import { clientFlags, clientOf, jsonFlag } from "../client/flags.ts";
import type { Command } from "../command.ts";
import { command } from "../command.ts";
import { EXIT_OK } from "../exit-codes.ts";
import { jobArgument, onlyJob } from "../job-argument.ts";
import { orderText } from "../render/order.ts";
import { jsonLine } from "../render/json.ts";
import { signalName } from "../spec/job-spec.ts";

/** `belay signal` */
export const signal: Command = command({
  name: "signal",
  args: [jobArgument, { name: "<signal>", help: "name of the signal, such as USR1 or SIGUSR1" }],
  about: "Sends a signal to every process of a job.",
  flags: { json: jsonFlag, ...clientFlags },
  examples: [["belay signal train-17 USR1", "perhaps it writes a checkpoint"]],
  run: async ({ flags, args, io }) => {
    const jobId = onlyJob(args);
    const request = { jobId, signal: signalName(args[1] ?? "", "the signal"), commandId: shortId() };
    using client = await clientOf(flags, io);
    const answer = await client.call((jobs) => jobs.signalJob(request));
    await io.stdout.write(
      flags.json
        ? jsonLine(SignalJobResponseSchema, answer)
        : orderText(jobId, request.signal, answer.command, answer.agentConnected),
    );
    return EXIT_OK;
  },
});
