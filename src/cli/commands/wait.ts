import { formatDuration } from "../../contract/durations.ts";
import { BelayError } from "../../base/errors.ts";
import type { Job } from "../../gen/belay/v1/job_pb.ts";
import { JobSchema, JobState } from "../../gen/belay/v1/job_pb.ts";
import type { JobClient } from "../client/client.ts";
import { clientFlags, clientOf, jsonFlag } from "../client/flags.ts";
import { watchJob } from "../client/resume.ts";
import { withTimeLimit } from "../client/time-limit.ts";
import type { Command } from "../flags/command.ts";
import { command } from "../flags/command.ts";
import { EXIT_BELAY, EXIT_CODES_HELP, exitCodeOfResult } from "../process/exit-codes.ts";
import { duration, grouped } from "../flags/flags.ts";
import type { Io } from "../process/io.ts";
import { jobArgument, onlyJob } from "../flags/job-argument.ts";
import { afterStepProblems } from "../render/job/after-steps.ts";
import { jsonLine } from "../render/json.ts";
import { betweenText } from "../render/job/attempts.ts";
import { cardRemarks } from "../render/job/failure-card.ts";
import { resultDetail } from "../render/job/result.ts";
import { styleOf } from "../render/style.ts";
import { stateName } from "../../contract/names.ts";
import { isEnded } from "../../contract/states.ts";

const flags = {
  ...grouped("General", {
    timeout: duration({
      variable: "BELAY_WAIT_TIMEOUT",
      help: "stop waiting after this time, with exit code 125; the job continues",
    }),
  }),
  ...jsonFlag,
  ...clientFlags,
};

/** `belay wait` */
export const wait: Command = command({
  name: "wait",
  args: [jobArgument],
  about: "Waits until a job ends, then exits with the code that `belay run` would have used.",
  flags,
  examples: [
    ["belay wait train-17 && belay submit -- ./evaluate", "the second only if the first succeeds"],
    ["belay wait --timeout 1h train-17", "not longer than an hour"],
  ],
  notes: EXIT_CODES_HELP,
  run: async ({ flags, args, io }) => {
    const jobId = onlyJob(args);
    using client = await clientOf(flags, io);
    let latest: Job | undefined;
    const watched = watch(client, jobId, io, (job) => {
      latest = job;
    });
    const job = await withTimeLimit(watched, flags.timeout, () => {
      const state = latest === undefined ? "" : `: it is ${stateName(latest.state)}`;
      return `Job "${jobId}" has not ended within ${formatDuration(flags.timeout ?? 0)}${state}`;
    });
    const result = job.result;
    if (flags.json) await io.stdout.write(jsonLine(JobSchema, job));
    else {
      await io.stdout.write(`${jobId} is ${styleOf(io.stdout).state(job.state)}${resultDetail(result)}\n`);
      await io.stderr.write(cardRemarks(result?.card, true));
      const problems = result === undefined ? [] : afterStepProblems(result);
      for (const problem of problems) await io.stderr.write(`belay: ${problem}\n`);
    }
    return result === undefined ? EXIT_BELAY : exitCodeOfResult(result);
  },
});

async function watch(client: JobClient, jobId: string, io: Io, see: (job: Job) => void): Promise<Job> {
  let lost = false;
  let waits = "";
  for await (const job of watchJob(client, jobId)) {
    see(job);
    if (isEnded(job.state)) return job;
    if (!lost && job.state === JobState.LOST) {
      await io.stderr.write(`belay: The agent of "${jobId}" is lost; waiting for it to return or for another one\n`);
    }
    lost = job.state === JobState.LOST;
    const between = betweenText(job);
    if (between !== "" && between !== waits) await io.stderr.write(`belay: ${between}\n`);
    waits = between;
  }
  throw new BelayError("INTERNAL", `The tracker's stream of job "${jobId}" ended before the job`);
}
