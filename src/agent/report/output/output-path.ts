import type { JobSpec, LogStream } from "../../../gen/belay/v1/job_pb.ts";
import { GapReason } from "../../../gen/belay/v1/tracker_service_pb.ts";
import type { AgentOptions } from "../../options.ts";
import { LogLimit } from "./log-limit.ts";
import { PassThrough } from "./pass-through.ts";
import type { Mask } from "../redact/mask.ts";
import { Redaction } from "../redact/redaction.ts";
import type { Report } from "../report.ts";
import { Tail } from "./tail.ts";
import type { OutputSink } from "../../output-sink.ts";

/** What the path of the output needs. */
export interface OutputPathOptions extends Pick<AgentOptions, "onOutput" | "outputBehind"> {
  readonly spec: JobSpec;
  readonly mask: Mask;
  readonly report: Report;
}

/**
 * The path of the job's output: secrets are removed, then it goes to the log as far as the log's limit allows, then to
 * the program that runs the agent. The log comes first, so that what a person has seen survives the agent.
 */
export class OutputPath {
  /** Where the path begins. */
  readonly accept: OutputSink;
  readonly passThrough: PassThrough;
  /** The end of the output, also where the log's limit has cut it. */
  readonly tail: Tail;
  private readonly report: Report;
  private readonly redaction: Redaction;
  private readonly limit: LogLimit;

  constructor(options: OutputPathOptions) {
    const { spec, mask, report } = options;
    this.report = report;
    this.passThrough = new PassThrough(options);
    this.tail = new Tail(spec.setup.length + 1);
    this.limit = new LogLimit(spec.logLimitBytes, report.log, (step, message) => report.notice(step, message));
    this.redaction = new Redaction(mask, (stream, step, data, time) => this.passOn(stream, step, data, time));
    this.accept = this.redaction.pass;
  }

  /** Passes on what was held back: a step has ended. */
  flush(): void {
    this.redaction.flush();
  }

  /** Completes the log: there is no more output. */
  end(): void {
    this.redaction.flush();
    for (const cut of this.limit.cutEnds) {
      this.report.gap(cut.stream, cut.step, cut.bytes, GapReason.LOG_LIMIT, cut.readUnixNano);
    }
    if (this.limit.summary !== undefined) this.report.notice(0, this.limit.summary);
    for (const sentence of this.passThrough.behind) this.report.notice(0, sentence);
  }

  private passOn(stream: LogStream, step: number, data: Uint8Array, readUnixNano: bigint): boolean {
    const room = this.limit.pass(stream, step, data, readUnixNano);
    this.tail.add(stream, step, data);
    return this.passThrough.pass(stream, data) && room;
  }
}
