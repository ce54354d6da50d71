import { JobSchema } from "../../gen/belay/v1/job_pb.ts";
import { clientFlags, clientOf, jsonFlag } from "../client/flags.ts";
import type { Command } from "../flags/command.ts";
import { command } from "../flags/command.ts";
import { EXIT_OK } from "../process/exit-codes.ts";
import { jobArgument, onlyJob, presentJob } from "../flags/job-argument.ts";
import { jsonLine } from "../render/json.ts";
import { showText } from "../render/job/show.ts";
import { styleOf } from "../render/style.ts";

/** `belay show` */
export const show: Command = command({
  name: "show",
  args: [jobArgument],
  about:
    "Shows everything that the tracker knows about a job: spec, attempts, result with its evidence, log, commands.",
  flags: { ...jsonFlag, ...clientFlags },
  examples: [
    ["belay show hello", "as text"],
    ["belay show --json hello | jq .result", "for programs: the Job of the contract"],
  ],
  run: async ({ flags, args, io }) => {
    const jobId = onlyJob(args);
    using client = await clientOf(flags, io);
    const job = presentJob(await client.call((jobs) => jobs.getJob({ jobId })));
    await io.stdout.write(flags.json ? jsonLine(JobSchema, job) : showText(job, styleOf(io.stdout), Date.now()));
    return EXIT_OK;
  },
});
