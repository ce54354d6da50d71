import type { LogStream as LogStreamType } from "../../gen/belay/v1/job_pb.ts";
import { LogStream } from "../../gen/belay/v1/job_pb.ts";
import { LogChunkSchema } from "../../gen/belay/v1/tracker_service_pb.ts";
import { clientFlags, clientOf, jsonFlag } from "../client/flags.ts";
import { readLogs } from "../client/resume.ts";
import type { Command } from "../command.ts";
import { command } from "../command.ts";
import { EXIT_OK } from "../exit-codes.ts";
import { choice, count, toggle } from "../flags.ts";
import { jobArgument, onlyJob } from "../job-argument.ts";
import { jsonLine } from "../render/json.ts";
import { LogPrinter } from "../render/log-printer.ts";

const STREAMS: Readonly<Record<"stdout" | "stderr" | "agent", LogStreamType>> = {
  stdout: LogStream.STDOUT,
  stderr: LogStream.STDERR,
  agent: LogStream.AGENT,
};

const flags = {
  follow: toggle({ short: "f", help: "go on as more arrives, until the job's end" }),
  tail: count({ short: "n", help: "begin this many lines before the end" }),
  stream: choice(["stdout", "stderr", "agent"], { help: "only this stream, byte for byte" }),
  attempt: count({ variable: "BELAY_LOGS_ATTEMPT", help: "which attempt; default: the latest" }),
  raw: toggle({ help: "send control sequences to the terminal as they are" }),
  json: jsonFlag,
  ...clientFlags,
};

/** `belay logs` */
export const logs: Command = command({
  name: "logs",
  args: [jobArgument],
  about:
    "Prints what the job wrote to standard output and standard error, in the order in which it was read. Bytes that " +
    "were lost show as a line that says so. On a terminal, control sequences other than colours are shown, not obeyed.",
  flags,
  examples: [
    ["belay logs -f train-17", "from the beginning, to the end of the job"],
    ["belay logs -f --tail 20 train-17", "the last 20 lines and what comes"],
    ["belay logs --stream stdout train-17 > out.bin", "exactly the bytes of its standard output"],
    ["belay logs --json train-17", "for programs: LogChunk messages of the contract"],
  ],
  run: async ({ flags, args, io }) => {
    const jobId = onlyJob(args);
    using client = await clientOf(flags, io);
    const printer = new LogPrinter(io.stdout, io.stderr, {
      exact: flags.stream !== undefined,
      neutralize: io.stdout.isTerminal && !flags.raw,
    });
    const answers = readLogs(client, {
      jobId,
      attempt: flags.attempt ?? 0,
      streams: flags.stream === undefined ? [] : [STREAMS[flags.stream]],
      follow: flags.follow,
      ...(flags.tail === undefined ? {} : { start: { case: "tailLines", value: BigInt(flags.tail) } as const }),
    });
    for await (const { chunks } of answers) {
      for (const chunk of chunks) {
        if (flags.json) await io.stdout.write(jsonLine(LogChunkSchema, chunk));
        else await printer.print(chunk);
        // The reader has seen enough (`| head`): that is no failure.
        if (io.stdout.gone.aborted) return EXIT_OK;
      }
    }
    await printer.end();
    return EXIT_OK;
  },
});
