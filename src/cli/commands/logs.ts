import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { BelayError, messageOf } from "../../base/errors.ts";
import type { LogStream as LogStreamType } from "../../gen/belay/v1/job_pb.ts";
import { LogStream } from "../../gen/belay/v1/job_pb.ts";
import { LogChunkSchema } from "../../gen/belay/v1/tracker_service_pb.ts";
import { clientFlags, clientOf, jsonFlag } from "../client/flags.ts";
import { nextAttemptText, throughAttempts } from "../client/attempts.ts";
import type { JobClient } from "../client/client.ts";
import { readLogs } from "../client/resume.ts";
import type { Command } from "../flags/command.ts";
import { command } from "../flags/command.ts";
import { EXIT_OK } from "../process/exit-codes.ts";
import type { Values } from "../flags/flags.ts";
import { choice, count, grouped, many, text, toggle, wanted } from "../flags/flags.ts";
import { jobArgument, onlyJob, presentJob } from "../flags/job-argument.ts";
import type { Io } from "../process/io.ts";
import { jsonLine } from "../render/json.ts";
import { LogLines } from "../render/log-lines.ts";
import { attemptFlag, sinceFlag } from "../flags/part-flags.ts";
import { LogPrinter } from "../render/log-printer.ts";

const STREAMS: Readonly<Record<"stdout" | "stderr" | "agent", LogStreamType>> = {
  stdout: LogStream.STDOUT,
  stderr: LogStream.STDERR,
  agent: LogStream.AGENT,
};

const flags = {
  ...grouped("Selection", {
    follow: toggle({ short: "f", variable: false, help: "continue as more arrives, until the job ends" }),
    tail: count({ short: "n", variable: false, help: "begin this many lines before the end" }),
    stream: choice(["stdout", "stderr", "agent"], { variable: false, help: "only this stream, byte for byte" }),
    attempt: attemptFlag,
    since: sinceFlag,
    step: many({ value: "N", variable: false, separator: ",", help: "only this step; 1 is the first" }, stepNumber),
    grep: text({ variable: false, value: "PATTERN", help: "only lines that match this regular expression" }),
  }),
  ...grouped("Output", {
    timestamps: toggle({
      short: "t",
      variable: false,
      help: "print before each line the time at which the agent read it",
    }),
    raw: toggle({ variable: false, help: "send control sequences to the terminal as they are" }),
  }),
  ...jsonFlag,
  ...clientFlags,
};

/** `belay logs` */
export const logs: Command = command({
  name: "logs",
  args: [jobArgument],
  about:
    "Prints what the job wrote to standard output and standard error, in the order in which it was read. A line marks " +
    "the place of lost bytes. On a terminal, control sequences other than colours are shown as text, not obeyed.",
  flags,
  examples: [
    ["belay logs -f train-17", "from the beginning until the job ends"],
    ["belay logs -f --tail 20 train-17", "the last 20 lines, and what follows"],
    ["belay logs --stream stdout train-17 > out.bin", "exactly the bytes of its standard output"],
    ["belay logs -t --since 10m --grep 'error|warn' train-17", "recent errors, with their times"],
    ["belay logs --json train-17", "for programs: LogChunk messages of the contract"],
  ],
  run: async ({ flags, args, io }) => {
    const jobId = onlyJob(args);
    const start = startOf(flags);
    const byLine = flags.timestamps || flags.grep !== undefined;
    if (flags.json && byLine) {
      throw new BelayError("BAD_USAGE", "Cannot use --json with --grep or --timestamps: its chunks carry their times");
    }
    const lines = byLine
      ? new LogLines({
          timestamps: flags.timestamps,
          ...(flags.grep === undefined ? {} : { grep: pattern(flags.grep) }),
        })
      : undefined;
    using client = await clientOf(flags, io);
    await checkSteps(client, jobId, flags.step);
    const printer = new LogPrinter(io.stdout, io.stderr, {
      exact: flags.stream !== undefined,
      neutralize: io.stdout.isTerminal && !flags.raw,
    });
    const request = {
      jobId,
      attempt: flags.attempt ?? 0,
      streams: flags.stream === undefined ? [] : [STREAMS[flags.stream]],
      follow: flags.follow,
      steps: [...flags.step],
    };
    const from = start === undefined ? {} : { start };
    const end = async (): Promise<void> => {
      if (lines !== undefined) for (const line of lines.end()) await printer.print(line);
      await printer.end();
    };
    const read = (attempt: number, isFirst: boolean): ReturnType<typeof readLogs> =>
      readLogs(client, { ...request, attempt, ...(isFirst ? from : {}) });
    const onNext = async (attempt: number): Promise<void> => {
      await end();
      await io.stderr.write(`belay: ${nextAttemptText(jobId, attempt)}\n`);
    };
    const followsAll = flags.follow && flags.attempt === undefined;
    const answers = followsAll ? throughAttempts(client, jobId, read, { onNext }) : read(request.attempt, true);
    const earlier = earlierAttempts(flags, io);
    for await (const { attempt, chunks } of answers) {
      await earlier(attempt);
      for (const chunk of chunks) {
        if (flags.json) await io.stdout.write(jsonLine(LogChunkSchema, chunk));
        else if (lines === undefined) await printer.print(chunk);
        else for (const line of lines.push(chunk)) await printer.print(line);
        // The reader has gone (`| head`): this is not a failure.
        if (io.stdout.gone.aborted) return EXIT_OK;
      }
    }
    await end();
    return EXIT_OK;
  },
});

/** Returns what shows, once, a user at a terminal that the job has earlier attempts than the one that is printed. */
function earlierAttempts(
  { attempt: asked, follow }: Values<typeof flags>,
  { stderr }: Io,
): (attempt: number) => Promise<void> {
  let done = asked !== undefined || follow || !stderr.isTerminal;
  return async (attempt) => {
    if (done || attempt <= 1) return;
    done = true;
    const which =
      attempt === 2 ? "--attempt 1 shows the earlier one" : `--attempt 1 to ${attempt - 1} show the earlier ones`;
    await stderr.write(`belay: Attempt ${attempt}; ${which}\n`);
  };
}

/** Checks that the job has these steps: the log of a missing one would be empty. @throws BelayError `BAD_USAGE` */
async function checkSteps(client: JobClient, jobId: string, steps: readonly number[]): Promise<void> {
  if (steps.length === 0) return;
  const job = presentJob(await client.call((jobs) => jobs.getJob({ jobId })));
  const last = (job.spec?.setup.length ?? 0) + 1 + (job.spec?.after.length ?? 0);
  const missing = steps.find((step) => step > last);
  if (missing === undefined) return;
  const what = last === 1 ? "its only step is 1" : `its steps are 1 to ${last}`;
  throw new BelayError("BAD_USAGE", `Job "${jobId}" has no step ${missing}: ${what}`);
}

type Start = { case: "tailLines"; value: bigint } | { case: "fromTime"; value: Timestamp };

function startOf({ tail, since }: Values<typeof flags>): Start | undefined {
  if (tail !== undefined && since !== undefined) {
    throw new BelayError("BAD_USAGE", "Cannot use --tail and --since together: both say where to begin");
  }
  if (tail !== undefined) return { case: "tailLines", value: BigInt(tail) };
  return since === undefined ? undefined : { case: "fromTime", value: timestampFromMs(since) };
}

function stepNumber(given: string, what: string): number {
  if (!/^[1-9]\d{0,8}$/.test(given)) throw wanted(what, given, "the number of a step, from 1");
  return Number(given);
}

function pattern(given: string): RegExp {
  try {
    return new RegExp(given, "u");
  } catch (error) {
    throw wanted("--grep", given, `a regular expression: ${messageOf(error)}`);
  }
}
