import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { shortId } from "../../base/ids.ts";
import type { Job } from "../../gen/belay/v1/job_pb.ts";
import { JobSchema } from "../../gen/belay/v1/job_pb.ts";
import { CancelJobResponseSchema } from "../../gen/belay/v1/job_service_pb.ts";
import { clientFlags, clientOf, jsonFlag } from "../client/flags.ts";
import { waitForEnd } from "../client/resume.ts";
import type { Command } from "../flags/command.ts";
import { command } from "../flags/command.ts";
import { EXIT_BELAY, EXIT_OK } from "../process/exit-codes.ts";
import { duration, grouped, text, toggle } from "../flags/flags.ts";
import { jobArgument, onlyJob, presentJob } from "../flags/job-argument.ts";
import { jsonLine } from "../render/json.ts";
import { warnIfNotStored } from "../render/order.ts";
import { evidenceLines, resultDetail } from "../render/job/result.ts";
import type { Style } from "../render/style.ts";
import { styleOf } from "../render/style.ts";
import { isEnded } from "../../contract/states.ts";

const flags = {
  ...grouped("Order", {
    grace: duration({
      variable: false,
      help: "longest time until SIGKILL, for the job's warning and its grace period; 0: SIGKILL at once",
      defaultText: "as the job's spec says",
    }),
    reason: text({ variable: false, help: "reason, for users; becomes part of the result" }),
    wait: toggle({ variable: false, help: "wait until no process of the job is left, then show the evidence" }),
  }),
  ...jsonFlag,
  ...clientFlags,
};

/** `belay cancel` */
export const cancel: Command = command({
  name: "cancel",
  args: [jobArgument],
  about:
    "Ends a job: sends the warning, if the job asked for one, then the stop signal to all its processes and, after the " +
    "grace period, SIGKILL until none is left. " +
    "Canceling a job that has ended changes nothing and is not an error.",
  flags,
  examples: [
    ["belay cancel train-17", "order it and return at once"],
    ["belay cancel --wait --grace 2s train-17", "wait until no process is left"],
    ["belay cancel --reason 'wrong data set' train-17", "record why"],
  ],
  run: async ({ flags, args, io }) => {
    const jobId = onlyJob(args);
    using client = await clientOf(flags, io);
    const request = {
      jobId,
      commandId: shortId(),
      reason: flags.reason ?? "",
      ...(flags.grace === undefined ? {} : { gracePeriod: durationFromMs(flags.grace) }),
    };
    const answer = await client.call((jobs) => jobs.cancelJob(request));
    await warnIfNotStored(answer.command, io);
    const job = presentJob(answer);
    const style = styleOf(io.stdout);
    if (!flags.wait || isEnded(job.state)) {
      if (flags.json) await io.stdout.write(jsonLine(CancelJobResponseSchema, answer));
      else await io.stdout.write(answerText(job, answer.command !== undefined, answer.agentConnected, style));
      return EXIT_OK;
    }
    if (!answer.agentConnected) {
      await io.stderr.write(`belay: The agent is not connected; it gets the order when it is back\n`);
    }
    const ended = await waitForEnd(client, jobId);
    await io.stdout.write(flags.json ? jsonLine(JobSchema, ended) : endText(ended, style));
    return (ended.result?.evidence?.survivors.length ?? 0) === 0 ? EXIT_OK : EXIT_BELAY;
  },
});

function answerText(job: Job, ordered: boolean, connected: boolean, style: Style): string {
  const state = style.state(job.state);
  if (ordered && connected) return `${job.jobId} is being canceled (${state}); wait for it: belay wait ${job.jobId}\n`;
  if (ordered) return `${job.jobId} will be canceled when its agent is back (${state})\n`;
  return `${job.jobId} is ${state}${resultDetail(job.result)}\n`;
}

function endText(job: Job, style: Style): string {
  const result = job.result;
  if (result === undefined) return `${job.jobId} is ${style.state(job.state)}\n`;
  const evidence = result.evidence === undefined ? [] : evidenceLines(result.evidence);
  return [`${job.jobId} is ${style.state(job.state)}${resultDetail(result)}`, ...evidence, ""].join("\n");
}
