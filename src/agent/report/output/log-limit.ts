import { formatSize } from "../../../contract/sizes.ts";
import type { LogStream } from "../../../gen/belay/v1/job_pb.ts";
import type { OutputSink } from "../../output-sink.ts";

/** What one stream lost to the limit: the end of it, from where it was cut. */
export interface CutEnd {
  readonly stream: LogStream;
  /** Step whose output was cut first. */
  readonly step: number;
  /** When the first of the lost bytes were read. */
  readonly readUnixNano: bigint;
  /** How many bytes were thrown away. */
  bytes: number;
}

/**
 * Bounds what is kept of a job's output.
 *
 * Its law: of all streams together the first `limit` bytes are passed on, exactly; everything after them is accepted,
 * thrown away and counted for each stream, so that the job is not disturbed.
 */
export class LogLimit {
  private readonly limit: number;
  private readonly sink: OutputSink;
  private readonly notice: (step: number, message: string) => void;
  private readonly cuts = new Map<LogStream, CutEnd>();
  private left: number;

  /**
   * @param limit bytes; 0: no limit
   * @param sink accepts what is kept
   * @param notice called with a remark for the log when the limit is reached
   */
  constructor(limit: bigint | number, sink: OutputSink, notice: (step: number, message: string) => void) {
    this.limit = Number(limit);
    this.left = this.limit === 0 ? Number.POSITIVE_INFINITY : this.limit;
    this.sink = sink;
    this.notice = notice;
  }

  /** What has been cut so far, one entry for each stream that lost bytes. */
  get cutEnds(): readonly Readonly<CutEnd>[] {
    return [...this.cuts.values()];
  }

  /** A sentence for the end of the log. Undefined: nothing was cut. */
  get summary(): string | undefined {
    if (this.cuts.size === 0) return undefined;
    const bytes = this.cutEnds.reduce((sum, cut) => sum + cut.bytes, 0);
    return `Log limit of ${formatSize(this.limit)}: ${formatSize(bytes)} of later output were not kept`;
  }

  /** An `OutputSink`. Never returns false because of the limit. */
  pass(stream: LogStream, step: number, data: Uint8Array, readUnixNano: bigint): boolean {
    if (data.length <= this.left) {
      this.left -= data.length;
      return this.sink(stream, step, data, readUnixNano);
    }
    const kept = this.left;
    this.left = 0;
    const more = kept === 0 || this.sink(stream, step, data.subarray(0, kept), readUnixNano);
    if (this.cuts.size === 0) {
      this.notice(step, `Log limit of ${formatSize(this.limit)} reached: later output is not kept`);
    }
    const cut = this.cuts.get(stream);
    if (cut === undefined) this.cuts.set(stream, { stream, step, readUnixNano, bytes: data.length - kept });
    else cut.bytes += data.length - kept;
    return more;
  }
}
