import type { LogStream } from "../../../gen/belay/v1/job_pb.ts";
import type { OutputSink } from "../../output-sink.ts";
import type { Mask } from "./mask.ts";
import { Redactor } from "./redactor.ts";

/** More than there are streams, to make one number of stream and step. */
const STREAMS = 8;

/** Keeps secrets out of everything that one job prints, on all streams of all steps. */
export class Redaction {
  private readonly mask: Mask;
  private readonly sink: OutputSink;
  private readonly redactors = new Map<number, Redactor>();

  /** @param sink accepts the output without secrets */
  constructor(mask: Mask, sink: OutputSink) {
    this.mask = mask;
    this.sink = sink;
  }

  readonly pass: OutputSink = (stream, step, data, readUnixNano) => {
    this.mask.check();
    return this.redactor(stream, step).write(data, readUnixNano);
  };

  /**
   * Passes on what is held back because it may be the beginning of a secret. Must be called before the next step's output
   * and before the end of the log.
   */
  flush(): void {
    this.mask.check();
    for (const redactor of this.redactors.values()) redactor.flush();
  }

  private redactor(stream: LogStream, step: number): Redactor {
    const key = step * STREAMS + stream;
    let redactor = this.redactors.get(key);
    if (redactor === undefined) {
      redactor = new Redactor(
        () => this.mask.matcher,
        (data, readUnixNano) => this.sink(stream, step, data, readUnixNano),
      );
      this.redactors.set(key, redactor);
    }
    return redactor;
  }
}
