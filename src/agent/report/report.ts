import { create } from "@bufbuild/protobuf";
import type { Clock } from "../../base/clock.ts";
import {
  type JobResult,
  JobResultSchema,
  LogStream,
  type StatusReport,
  type StreamTotals,
} from "../../gen/belay/v1/job_pb.ts";
import {
  type CommandUpdate,
  CommandUpdateSchema,
  type Event,
  EventSchema,
  type GapReason,
  StateChangeSchema,
} from "../../gen/belay/v1/tracker_service_pb.ts";
import type { JobState } from "../../gen/belay/v1/job_pb.ts";
import { EventWriter } from "./event-writer.ts";
import { SlabPool } from "./frame.ts";
import { LogLane } from "./log-lane.ts";
import { MemorySpool } from "./memory-spool.ts";
import type { Mask } from "./redact/mask.ts";
import type { OutputSink } from "../output-sink.ts";
import type { Spool } from "./spool.ts";

/** Reports how far a command is. */
export type CommandReport = (
  update: Pick<CommandUpdate, "commandId" | "state" | "message"> & { status?: StatusReport },
) => void;

/**
 * Everything that an agent reports, on its way into the spool. Secrets are removed here from every record, except from
 * output: that has passed `Redaction`, which finds secrets across its cuts.
 */
export class Report {
  readonly spool: Spool;
  private readonly events: EventWriter;
  private readonly logs: LogLane;
  private readonly clock: Clock;
  private readonly mask: Mask;

  /** @param makeSpool makes the spool, which takes its frames from the pool */
  constructor(clock: Clock, mask: Mask, makeSpool: (pool: SlabPool) => Spool = (pool) => new MemorySpool(pool)) {
    const pool = new SlabPool();
    this.clock = clock;
    this.mask = mask;
    this.spool = makeSpool(pool);
    this.events = new EventWriter(this.spool, clock);
    this.logs = new LogLane(this.spool, pool, clock);
  }

  /** Adds output to the job's log. Returns false when the job should wait until the spool has room. */
  readonly log: OutputSink = (stream, step, data, readUnixNano) => this.logs.append(stream, step, data, readUnixNano);

  /** Records that bytes of a stream are missing here. */
  gap(stream: LogStream, step: number, bytes: number, reason: GapReason, readUnixNano: bigint): void {
    this.logs.gap(stream, step, bytes, reason, readUnixNano);
  }

  /** Adds a remark of the agent to the job's log. */
  notice(step: number, message: string): void {
    this.logs.append(LogStream.AGENT, step, Buffer.from(`${this.mask.text(message)}\n`), this.clock.unixNano());
  }

  /** @returns false when the event is left out, as samples are when too many events wait */
  event(kind: Event["kind"]): boolean {
    return this.events.push(this.mask.message(EventSchema, create(EventSchema, { kind })).kind);
  }

  /** Events that the tracker has not committed. */
  get eventsWaiting(): number {
    return this.events.waiting;
  }

  state(state: JobState, message: string): void {
    this.event({ case: "stateChange", value: create(StateChangeSchema, { state, message }) });
  }

  readonly command: CommandReport = (update) => {
    this.event({ case: "commandUpdate", value: create(CommandUpdateSchema, update) });
  };

  totals(): StreamTotals[] {
    return this.logs.totals();
  }

  /** Closes the log and reports how the job ended. @returns the result as it was reported */
  result(result: JobResult): JobResult {
    this.logs.flush();
    const reported = this.mask.message(JobResultSchema, { ...result, streams: this.logs.totals() });
    this.events.push({ case: "result", value: reported });
    return reported;
  }
}
