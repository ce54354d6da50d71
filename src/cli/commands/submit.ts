import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { BelayError } from "../../base/errors.ts";
import { shortId } from "../../base/ids.ts";
import type { JobSpec } from "../../gen/belay/v1/job_pb.ts";
import { JobSchema } from "../../gen/belay/v1/job_pb.ts";
import { clientFlags, clientOf, jsonFlag } from "../client/flags.ts";
import type { Invocation, Command } from "../flags/command.ts";
import { command } from "../flags/command.ts";
import { EXIT_OK } from "../process/exit-codes.ts";
import { duration, flagName, grouped, text } from "../flags/flags.ts";
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
    like: text({
      variable: false,
      value: "JOB",
      namesJob: true,
      help: "instead of a command: copy the spec of this job, ended or not, with the values of its secret variables",
    }),
  }),
  ...jobFlags,
  ...grouped("Attempts", {
    pendingTimeout: duration({
      help: "end the job, as FAILED, if no agent has taken it after this time; 0: never",
      defaultText: "0",
    }),
  }),
  ...jsonFlag,
  ...clientFlags,
};

type SubmitInvocation = Invocation<typeof flags>;

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
    ["belay submit --like 3f9k2m7q1x0z", "register another job with the spec of that one"],
  ],
  notes: `TRACEPARENT and TRACESTATE (W3C Trace Context) of the environment become part of the job's spec. With --like, the
tracker copies the spec: it does not pass through this command, and the new job begins a trace of its own.`,
  run: async (invocation) => {
    const { flags, io } = invocation;
    const what =
      flags.like === undefined
        ? { spec: await givenSpec(invocation) }
        : { likeJobId: onlyLike(invocation, flags.like) };
    const jobId = flags.job === undefined ? shortId() : checkJobId(flags.job, "--job");
    using client = await clientOf(flags, io);
    const job = presentJob(await client.call((jobs) => jobs.createJob({ jobId, ...what })).catch(tooOld));
    await io.stdout.write(flags.json ? jsonLine(JobSchema, job) : `${job.jobId}\n`);
    if (io.stdout.isTerminal && !flags.json) {
      await io.stderr.write(
        `belay: Registered. On a worker: belay run --tracker ${flags.tracker} --job ${job.jobId}\n`,
      );
    }
    return EXIT_OK;
  },
});

async function givenSpec(invocation: SubmitInvocation): Promise<JobSpec> {
  const { pendingTimeout } = invocation.flags;
  const spec = await specOf(invocation);
  if (spec === undefined) {
    throw new BelayError("BAD_USAGE", "Nothing to submit: give a command after --, --spec FILE, or --like JOB");
  }
  if (pendingTimeout !== undefined) spec.pendingTimeout = durationFromMs(pendingTimeout);
  return spec;
}

/** The job that --like names. @throws BelayError `BAD_USAGE` beside anything else that describes a job */
function onlyLike({ given, args }: SubmitInvocation, like: string): string {
  const others = [...Object.keys(jobFlags), "pendingTimeout"].filter((key) => given.has(key));
  const names = [...others.map(flagName), ...(args.length > 0 ? ["a command"] : [])].join(", ");
  if (names !== "") {
    throw new BelayError(
      "BAD_USAGE",
      `Cannot use --like with ${names}: the new job has the spec of the job that it names`,
    );
  }
  return checkJobId(like, "--like");
}

/** A tracker that is older than --like does not see it, and misses the spec. */
function tooOld(error: unknown): never {
  if (error instanceof BelayError && error.message.startsWith("Spec is absent")) {
    throw new BelayError("TRACKER_REFUSED", "The tracker does not know --like: it is older than this command", {
      cause: error,
    });
  }
  throw error;
}
