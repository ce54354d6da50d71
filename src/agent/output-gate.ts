import { systemClock as clock } from "../base/clock.ts";
import { counted } from "../base/text/count.ts";
import type { OutputSink } from "./output-sink.ts";
import type { Backpressure } from "./report/output/backpressure.ts";
import type { Spool } from "./report/spool.ts";

/** Longest time between two checks whether the tracker still commits. Milliseconds. */
const LONGEST_CHECK_MS = 1000;

/** What a gate needs. */
export interface OutputGateOptions {
  /** Accepts the output. */
  readonly sink: OutputSink;
  readonly spool: Backpressure & Pick<Spool, "committed">;
  /** The program that the output is passed on to. */
  readonly passThrough: Backpressure;
  /** Reads on after `accept` returned false. */
  readonly resume: () => void;
  /** Aborted when the job is over. */
  readonly over: AbortSignal;
}

/**
 * Decides whether the job's output is read.
 *
 * Its law: output waits in the job's pipes while the spool or the program that it is passed on to is full. After
 * `discard` it waits for nothing: it is read, counted and thrown away, so that the job can end.
 */
export class OutputGate {
  private readonly options: OutputGateOptions;
  private discarding = false;
  private discarded = 0;

  constructor(options: OutputGateOptions) {
    this.options = options;
    options.spool.onRoom = this.readOn;
    options.passThrough.onRoom = this.readOn;
  }

  readonly accept: OutputSink = (stream, step, data, readUnixNano) => {
    if (!this.discarding) return this.options.sink(stream, step, data, readUnixNano);
    this.discarded += data.length;
    return true;
  };

  /** Has the output read again if nothing is full. */
  readonly readOn = (): void => {
    const { spool, passThrough, resume } = this.options;
    if (!spool.full && !passThrough.full) resume();
  };

  /** From now on, output is thrown away: no tracker will commit it. */
  discard(): void {
    this.discarding = true;
    this.options.resume();
  }

  /**
   * Must be called when the job is going to end: while the spool is full, what the job has printed stays in its pipe,
   * and the end is not seen before that is read. Discards once the tracker has committed nothing for some milliseconds.
   */
  endStalemate(patience: number): void {
    const { spool, over } = this.options;
    let committed = -1;
    let since = 0;
    const check = (): void => {
      const now = clock.monotonic();
      if (!spool.full || spool.committed("logs") !== committed) since = now;
      committed = spool.committed("logs");
      if (now - since >= patience) this.discard();
      else if (!over.aborted) clock.after(Math.min(patience, LONGEST_CHECK_MS), check);
    };
    check();
  }

  /** What was thrown away, as a sentence for the log. Undefined: nothing. */
  get discardedText(): string | undefined {
    if (this.discarded === 0) return undefined;
    return `${counted(this.discarded, "byte")} of output were not kept: the spool was full and the tracker committed nothing`;
  }
}
