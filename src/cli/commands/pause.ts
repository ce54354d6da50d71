import { shortId } from "../../base/ids.ts";
import { PauseJobResponseSchema, ResumeJobResponseSchema } from "../../gen/belay/v1/job_service_pb.ts";
import { clientFlags, clientOf, jsonFlag } from "../client/flags.ts";
import type { Command } from "../command.ts";
import { command } from "../command.ts";
import { EXIT_OK } from "../exit-codes.ts";
import { jobArgument, onlyJob } from "../job-argument.ts";
import { jsonLine } from "../render/json.ts";
import { orderText } from "../render/order.ts";

/** `belay pause` */
export const pause: Command = command({
  name: "pause",
  args: [jobArgument],
  about: "Stops all processes of a job for now. They keep their memory; belay resume lets them go on.",
  flags: { json: jsonFlag, ...clientFlags },
  examples: [["belay pause train-17", "someone needs the machine for a while"]],
  run: async ({ flags, args, io }) => {
    const request = { jobId: onlyJob(args), commandId: shortId() };
    using client = await clientOf(flags, io);
    const answer = await client.call((jobs) => jobs.pauseJob(request));
    await io.stdout.write(
      flags.json
        ? jsonLine(PauseJobResponseSchema, answer)
        : orderText(request.jobId, "Pause", answer.command, answer.agentConnected),
    );
    return EXIT_OK;
  },
});

/** `belay resume` */
export const resume: Command = command({
  name: "resume",
  args: [jobArgument],
  about: "Lets the processes of a paused job go on.",
  flags: { json: jsonFlag, ...clientFlags },
  examples: [["belay resume train-17", "the machine is free again"]],
  run: async ({ flags, args, io }) => {
    const request = { jobId: onlyJob(args), commandId: shortId() };
    using client = await clientOf(flags, io);
    const answer = await client.call((jobs) => jobs.resumeJob(request));
    await io.stdout.write(
      flags.json
        ? jsonLine(ResumeJobResponseSchema, answer)
        : orderText(request.jobId, "Resume", answer.command, answer.agentConnected),
    );
    return EXIT_OK;
  },
});
