import { durationMs } from "@bufbuild/protobuf/wkt";
import { messageOf } from "../../base/errors.ts";
import {
  CommandState,
  EndReason,
  type JobResult,
  type JobState,
  type StatusReport,
} from "../../gen/belay/v1/job_pb.ts";
import type { Cancel, Command } from "../../gen/belay/v1/tracker_service_pb.ts";
import type { CommandReport } from "../report/report.ts";
import { counted } from "../../base/text/count.ts";
import type { Order } from "../../contract/commands.ts";

/** What commands do to a job. */
export interface Commandable {
  readonly state: JobState;
  end(order: { reason: EndReason; message: string; commandId: string; grace?: number }): void;
  signal(name: string): Promise<number>;
  pause(): Promise<void>;
  resume(): Promise<void>;
}

/** The answer to an order that was carried out. */
interface Done {
  readonly message: string;
  readonly status?: StatusReport;
}

type OrderValue<C extends Order["case"]> = Extract<Order, { case: C }>["value"];
type Work = {
  readonly [C in Exclude<Order["case"], "cancel">]: (
    job: Commandable,
    order: OrderValue<C>,
    status: () => Promise<StatusReport>,
  ) => Promise<Done>;
};

/** What each order does, except a cancel, which is answered when the job has ended. The compiler asks for a row for each. */
const WORK: Work = {
  status: async (_job, _order, status) => ({ message: "", status: await status() }),
  signal: async (job, { name }) => ({
    message: `Sent ${name} to ${counted(await job.signal(name), "process", "processes")}`,
  }),
  pause: async (job) => (await job.pause(), { message: "Paused" }),
  resume: async (job) => (await job.resume(), { message: "Resumed" }),
};

function work<C extends keyof Work>(
  order: { readonly case: C; readonly value: OrderValue<C> },
  job: Commandable,
  status: () => Promise<StatusReport>,
): Promise<Done> {
  const row: Work[C] = WORK[order.case];
  return row(job, order.value, status);
}

/**
 * Carries out the tracker's commands and reports how each ends.
 *
 * Its law: a command is carried out once, however often it is delivered, and is answered RECEIVED and then either
 * COMPLETED or REJECTED. Commands that come before there is a job wait for it.
 */
export class CommandDesk {
  private readonly report: CommandReport;
  private readonly statusReport: () => Promise<StatusReport>;
  private readonly seen = new Set<string>();
  private readonly cancels: string[] = [];
  private early: Command[] = [];
  private job: Commandable | undefined;
  private result: JobResult | undefined;

  constructor(report: CommandReport, statusReport: () => Promise<StatusReport>) {
    this.report = report;
    this.statusReport = statusReport;
  }

  /** The job has been started: commands that waited are carried out. */
  attach(job: Commandable): void {
    this.job = job;
    for (const command of this.early.splice(0)) this.carryOut(command, job);
  }

  /** The job has ended: cancels are completed. */
  finish(result: JobResult): void {
    this.result = result;
    for (const commandId of this.cancels.splice(0)) {
      this.report({ commandId, state: CommandState.COMPLETED, message: result.message });
    }
  }

  accept(command: Command): void {
    if (this.seen.has(command.commandId)) return;
    this.seen.add(command.commandId);
    const { job, result } = this;
    // A cancel is carried out before its receipt is reported: the signals come first.
    if (job !== undefined && result === undefined && command.order.case === "cancel") {
      this.cancel(command.commandId, command.order.value, job);
      this.received(command);
      return;
    }
    this.received(command);
    if (job === undefined) this.early.push(command);
    else this.carryOut(command, job);
  }

  private received({ commandId }: Command): void {
    this.report({ commandId, state: CommandState.RECEIVED, message: "" });
  }

  private carryOut({ commandId, order }: Command, job: Commandable): void {
    if (order.case === undefined) {
      this.report({ commandId, state: CommandState.REJECTED, message: "This agent does not know this command" });
    } else if (order.case !== "cancel") {
      this.answer(commandId, work(order, job, this.statusReport));
    } else if (this.result === undefined) {
      this.cancel(commandId, order.value, job);
    } else {
      const message = `Had ended already: ${this.result.message}`;
      this.report({ commandId, state: CommandState.COMPLETED, message });
    }
  }

  private cancel(commandId: string, { reason, gracePeriod }: Cancel, job: Commandable): void {
    this.cancels.push(commandId);
    job.end({
      reason: EndReason.CANCELED,
      message: reason === "" ? "Canceled" : `Canceled: ${reason}`,
      commandId,
      ...(gracePeriod !== undefined && { grace: durationMs(gracePeriod) }),
    });
  }

  private answer(commandId: string, done: Promise<Done>): void {
    done.then(
      (answer) => this.report({ commandId, state: CommandState.COMPLETED, ...answer }),
      (error: unknown) => this.report({ commandId, state: CommandState.REJECTED, message: messageOf(error) }),
    );
  }
}
