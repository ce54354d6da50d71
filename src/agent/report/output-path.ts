import { type JobSpec, LogStream } from "../../gen/belay/v1/job_pb.ts";
import { GapReason } from "../../gen/belay/v1/tracker_service_pb.ts";
import type { AgentOptions } from "../options.ts";
import { LogLimit } from "./log-limit.ts";
import type { Mask } from "./redact/mask.ts";
import { Redaction } from "./redact/redaction.ts";
import type { Report } from "./report.ts";

/** What the way of the output needs to know. */
export interface OutputPathOptions {
  readonly spec: JobSpec;
  readonly mask: Mask;
  readonly report: Report;
  readonly onOutput: AgentOptions["onOutput"];
  /** Told that reading can go on. */
  readonly onRoom: () => void;
}

/**
 * The way of the job's output: secrets are taken out, then it goes to the log as far as the log's limit allows, then to
 * whoever it is passed on to. First the log: what anybody has seen survives the agent.
 */
export class OutputPath {
  private readonly report: Report;
  private readonly onOutput: AgentOptions["onOutput"];
  private readonly onRoom: () => void;
  private readonly redaction: Redaction;
  private readonly limit: LogLimit;
  private slowReaders = 0;
  private waits = true;

  constructor(options: OutputPathOptions) {
    const { spec, mask, report } = options;
    this.report = report;
    this.onOutput = options.onOutput;
    this.onRoom = options.onRoom;
    this.limit = new LogLimit(
      spec.logLimitBytes,
      (stream, step, data, time) => report.output(stream, step, data, time),
      (step, message) => report.notice(step, message),
    );
    this.redaction = new Redaction(mask, (stream, step, data, time) => this.pass(stream, step, data, time));
  }

  /** Whether somebody whom the output is passed on to wants no more for now. */
  get waiting(): boolean {
    return this.waits && this.slowReaders > 0;
  }

  /** From now on, only the log holds up the output: the job is ending. */
  waitNoLonger(): void {
    this.waits = false;
    this.onRoom();
  }

  /** Takes output. Bytes are valid during the call. @returns false when no more should come until there is room */
  take(stream: LogStream, step: number, data: Uint8Array, readUnixNano: bigint): boolean {
    return this.redaction.output(stream, step, data, readUnixNano);
  }

  /** Lets go what was held back: a step has ended. */
  flush(): void {
    this.redaction.flush();
  }

  /** Completes the log: all output has been taken. */
  end(): void {
    this.redaction.flush();
    for (const cut of this.limit.cutEnds) {
      this.report.gap(cut.stream, cut.step, cut.bytes, GapReason.LOG_LIMIT, cut.readUnixNano);
    }
    if (this.limit.summary !== undefined) this.report.notice(0, this.limit.summary);
  }

  private pass(stream: LogStream, step: number, data: Uint8Array, readUnixNano: bigint): boolean {
    const room = this.limit.output(stream, step, data, readUnixNano);
    const passed = this.onOutput?.(stream === LogStream.STDERR ? "stderr" : "stdout", data);
    if (passed === undefined) return room;
    // Whoever reads is slow: the job waits for it, as in a shell's pipe.
    this.slowReaders++;
    const goOn = (): void => {
      this.slowReaders--;
      this.onRoom();
    };
    passed.then(goOn, goOn);
    return room && !this.waits;
  }
}
