import { BelayError } from "../../base/errors.ts";
import { shortId } from "../../base/ids.ts";
import { JobSchema } from "../../gen/belay/v1/job_pb.ts";
import { clientFlags, clientOf, jsonFlag } from "../client/flags.ts";
import type { Command } from "../flags/command.ts";
import { command } from "../flags/command.ts";
import { EXIT_OK } from "../process/exit-codes.ts";
import { grouped, text } from "../flags/flags.ts";
import { checkJobId, presentJob } from "../flags/job-argument.ts";
import { jsonLine } from "../render/json.ts";
import { jobFlags } from "../spec/job-flags.ts";
import { specOf } from "../spec/job-spec.ts";

const flags = {
  ...grouped("Job", {
    job: text({
      value: "ID",
      help: "id of the job; giving one makes the call safe to repeat",
      defaultText: "a new one",
    }),
  }),
  ...jobFlags,
  ...jsonFlag,
  ...clientFlags,
};

/** `belay submit` */
export const submit: Command = command({
  name: "submit",
  args: [{ name: "[command...]", help: "program and arguments, run without a shell" }],
  about: "Registers a job that an agent will pick up, and prints its id.",
  flags,
  takesCommandLine: true,
  examples: [
    ["belay submit --name train -- python train.py", "register it"],
    ["belay run --job $(belay submit --spec job.yaml)", "register it, and run it here"],
  ],
  notes: "TRACEPARENT and TRACESTATE (W3C Trace Context) of the environment become part of the job's spec.",
  run: async (call) => {
    const { flags, io } = call;
    const spec = await specOf(call);
    if (spec === undefined) {
      throw new BelayError("BAD_USAGE", "Nothing to submit: give a command after --, or --spec FILE");
    }
    const jobId = flags.job === undefined ? shortId() : checkJobId(flags.job, "--job");
    using client = await clientOf(flags, io);
    const job = presentJob(await client.call((jobs) => jobs.createJob({ jobId, spec })));
    await io.stdout.write(flags.json ? jsonLine(JobSchema, job) : `${job.jobId}\n`);
    if (io.stdout.isTerminal && !flags.json) {
      await io.stderr.write(
        `belay: Registered. On a worker: belay run --tracker ${flags.tracker} --job ${job.jobId}\n`,
      );
    }
    return EXIT_OK;
  },
});
