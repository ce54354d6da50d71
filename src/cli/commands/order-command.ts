import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import { formatDuration } from "../../contract/durations.ts";
import { BelayError } from "../../base/errors.ts";
import { shortId } from "../../base/ids.ts";
import type { CommandRecord, Job } from "../../gen/belay/v1/job_pb.ts";
import { CommandState } from "../../gen/belay/v1/job_pb.ts";
import type { JobService } from "../../gen/belay/v1/job_service_pb.ts";
import type { JobClient } from "../client/client.ts";
import { clientFlags, clientOf, jsonFlag } from "../client/flags.ts";
import { isSettled, settledCommand } from "../client/settled-command.ts";
import { withTimeLimit } from "../client/time-limit.ts";
import type { Command } from "../flags/command.ts";
import { command } from "../flags/command.ts";
import { EXIT_OK } from "../process/exit-codes.ts";
import { duration, grouped, toggle } from "../flags/flags.ts";
import { jobArgument, onlyJob, presentJob } from "../flags/job-argument.ts";
import { clean } from "../render/clean.ts";
import { jsonLine } from "../render/json.ts";
import { orderText, warnIfNotStored } from "../render/order.ts";
import { stateName } from "../../contract/names.ts";

const flags = {
  ...grouped("Order", {
    timeout: duration({
      default: "10s",
      variable: "BELAY_ORDER_TIMEOUT",
      help: "how long to wait for the agent's answer; 0: without limit",
    }),
    noWait: toggle({ variable: false, help: "return as soon as the tracker has stored the order" }),
  }),
  ...jsonFlag,
  ...clientFlags,
};

const EXIT_CODES = `Exit codes:
  0         the agent has carried out the order; with --no-wait: the tracker has stored it
  125       the agent rejected the order, or did not answer in time: the reason is on standard error
  64        bad usage`;

/** The answer to a call that orders something. */
interface OrderAnswer {
  job?: Job | undefined;
  command?: CommandRecord | undefined;
  agentConnected: boolean;
}

/** An order to the processes of a job, as a command of the command line. */
export interface OrderCommand<D extends DescMessage> {
  readonly name: string;
  /** Arguments after the job's id. */
  readonly args?: Command["args"];
  readonly about: string;
  readonly examples: Command["examples"];
  /** Schema of the call's answer. */
  readonly answer: D;
  /** Reads the arguments after the job's id and returns the call. @throws BelayError `BAD_USAGE` */
  readonly order: (
    args: readonly string[],
  ) => (
    jobs: Client<typeof JobService>,
    request: { jobId: string; commandId: string },
  ) => Promise<MessageShape<D> & OrderAnswer>;
  /** The line to print when the agent has done it. `message` is the agent's and may be empty. */
  readonly done: (jobId: string, message: string) => string;
}

/** Makes the command: gives the order, waits for the agent's answer, and derives the exit code from it. */
export function orderCommand<D extends DescMessage>(definition: OrderCommand<D>): Command {
  const { name } = definition;
  return command({
    name,
    args: [jobArgument, ...(definition.args ?? [])],
    about: `${definition.about} Waits until the agent has done it.`,
    flags,
    examples: definition.examples,
    notes: EXIT_CODES,
    run: async ({ flags, args, io }) => {
      const request = { jobId: onlyJob(args), commandId: shortId() };
      const order = definition.order(args.slice(1));
      using client = await clientOf(flags, io);
      const answer = await client.call((jobs) => order(jobs, request));
      await warnIfNotStored(answer.command, io);
      if (!flags.noWait) {
        if (!answer.agentConnected)
          await io.stderr.write("belay: The agent is not connected; it gets the order when it is back\n");
        Object.assign(answer, await settled(client, name, answer, flags.timeout));
      }
      const record = answer.command;
      if (flags.json) await io.stdout.write(jsonLine(definition.answer, answer));
      if (record?.state === CommandState.REJECTED) {
        throw new BelayError("ORDER_REJECTED", rejection(name, request.jobId, clean(record.message)));
      }
      if (!flags.json) {
        const isDone = record?.state === CommandState.COMPLETED;
        await io.stdout.write(
          isDone
            ? `${definition.done(request.jobId, clean(record.message))}\n`
            : orderText(request.jobId, name, record, answer.agentConnected),
        );
      }
      return EXIT_OK;
    },
  });
}

/** Waits for the agent's answer to an order. @throws BelayError `WAIT_TIMED_OUT` */
async function settled(
  client: JobClient,
  name: string,
  answer: OrderAnswer,
  timeout: number,
): Promise<Pick<OrderAnswer, "job" | "command">> {
  const { command: record } = answer;
  if (record === undefined || isSettled(record)) return {};
  let latest = presentJob(answer);
  const { jobId } = latest;
  const end = await withTimeLimit(
    settledCommand(client, jobId, record.commandId, (job) => {
      latest = job;
    }),
    timeout,
    () => {
      const away = latest.attempts.at(-1)?.connected === true ? "" : "; the agent is not connected";
      const standing = `the job is ${stateName(latest.state)}${away}. The order stands`;
      return `The agent did not answer the ${name} of job "${jobId}" within ${formatDuration(timeout)}: ${standing}`;
    },
  );
  if (end !== undefined) return { job: end.job, command: end.record };
  throw new BelayError("INTERNAL", `Job "${jobId}" ended, and the tracker does not list the ${name}`);
}

/** Belay's own agents send the whole sentence; another implementation may send only the reason. */
function rejection(name: string, jobId: string, message: string): string {
  return message.startsWith("Cannot ") ? message : `Cannot ${name} job "${jobId}": ${message}`;
}
