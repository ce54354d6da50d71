import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { GetJobStatusResponseSchema } from "../../gen/belay/v1/job_service_pb.ts";
import { clientFlags, clientOf, jsonFlag } from "../client/flags.ts";
import type { Command } from "../flags/command.ts";
import { command } from "../flags/command.ts";
import { EXIT_OK } from "../process/exit-codes.ts";
import { duration, grouped } from "../flags/flags.ts";
import { jobArgument, onlyJob } from "../flags/job-argument.ts";
import { jsonLine } from "../render/json.ts";
import { statusText } from "../render/job/status.ts";
import { styleOf } from "../render/style.ts";

const flags = {
  ...grouped("General", {
    wait: duration({
      variable: "BELAY_STATUS_WAIT",
      default: "5s",
      help: "how long to wait for the agent's answer, at most 60s",
    }),
  }),
  ...jsonFlag,
  ...clientFlags,
};

/** `belay status` */
export const status: Command = command({
  name: "status",
  args: [jobArgument],
  about:
    "Asks the agent for the job's current state and processes. Without an answer, shows what the tracker knew last.",
  flags,
  examples: [
    ["belay status train-17", "state, processes, their resource use"],
    ["belay status --json train-17", "for programs: GetJobStatusResponse of the contract"],
  ],
  run: async ({ flags, args, io }) => {
    const jobId = onlyJob(args);
    using client = await clientOf(flags, io);
    const wait = durationFromMs(flags.wait);
    const answer = await client.call((jobs) => jobs.getJobStatus({ jobId, wait }));
    await io.stdout.write(
      flags.json ? jsonLine(GetJobStatusResponseSchema, answer) : statusText(answer, styleOf(io.stdout), Date.now()),
    );
    return EXIT_OK;
  },
});
