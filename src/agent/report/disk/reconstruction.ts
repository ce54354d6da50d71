import type { LogStream } from "../../../gen/belay/v1/job_pb.ts";
import { GapReason } from "../../../gen/belay/v1/tracker_service_pb.ts";
import { addGap, copySums, join, type LogSums, noSums, sumsOf } from "../log-sums.ts";
import { Segment } from "../segment.ts";
import type { LaneName } from "../spool.ts";
import { emptyFrame, gapFrame } from "../gap-record.ts";

/**
 * Rebuilds a lane from the segments that were found: where records are missing between two of them, a
 * stand-in says so. What is missing at the end cannot be known.
 */
export class Reconstruction {
  /** Sequence that the next segment should begin with. */
  next: number;
  private readonly lane: LaneName;
  private readonly segments: Segment[] = [];
  /** Sums of all that comes before `next`. */
  private reached: LogSums;
  private hole: Segment | undefined;

  /** @param before sums of what comes before the first */
  constructor(lane: LaneName, next: number, before: LogSums) {
    this.lane = lane;
    this.next = next;
    this.reached = copySums(before);
  }

  /** @param starts offsets at which the streams begin in it */
  add(segment: Segment, starts: ReadonlyMap<LogStream, number>): void {
    if (segment.first > this.next) this.addHole(segment.first - this.next);
    for (const [stream, offset] of starts) {
      const bytes = offset - sumsOf(this.reached, stream).bytes;
      // The first batch after a hole with bytes of this stream shows how many bytes of it are missing.
      if (bytes > 0 && this.hole !== undefined) this.fill(this.hole, stream, bytes);
    }
    this.segments.push(segment);
    this.reached = join(this.reached, segment.sums);
    this.next = segment.last + 1;
  }

  /** @returns all segments, holes included */
  finish(): Segment[] {
    for (const segment of this.segments) {
      if (!segment.closed) this.close(segment);
    }
    return this.segments;
  }

  private addHole(count: number): void {
    this.hole = new Segment(this.next, undefined);
    this.hole.count = count;
    this.hole.sums = noSums();
    this.segments.push(this.hole);
  }

  private fill(hole: Segment, stream: LogStream, bytes: number): void {
    const reached = sumsOf(this.reached, stream);
    hole.ranges.push({ stream, step: 0, offset: reached.bytes, readUnixNano: 0n, bytes });
    addGap(sumsOf(hole.sums, stream), bytes);
    addGap(reached, bytes);
  }

  private close(hole: Segment): void {
    hole.closed = true;
    hole.standIn =
      this.lane === "logs"
        ? gapFrame(hole.first, hole.ranges, GapReason.SPOOL_DAMAGED)
        : emptyFrame(this.lane, hole.first);
    hole.bytes = hole.standIn.length;
  }
}
