import type { SegmentFile } from "./disk/segment-file.ts";
import { allDropped, endOf, type LogSums, noSums } from "./log-sums.ts";
import type { ByteRange } from "./gap-record.ts";

/**
 * A run of consecutive records of one lane: the unit that is written to one file, dropped, and forgotten.
 *
 * Each of its records is in memory, in its file, or in both; if a gap record stands for them, in neither.
 */
export class Segment {
  /** Sequence of its first record. */
  readonly first: number;
  /** Records in it. */
  count = 0;
  /** Encoded bytes of them. */
  bytes = 0;
  file: SegmentFile | undefined;
  /** No more records are added. */
  closed = false;
  /** Sums of the logs in it. Known when it is closed. */
  sums: LogSums = noSums();
  /** What a gap record for it would list. Kept only where segments may be dropped. */
  ranges: ByteRange[] = [];
  /** The record that stands for all of them, which are lost: the first; empty ones stand for the others. */
  standIn: Buffer | undefined;
  /** The job's result is in it. */
  hasResult = false;
  private frames: (Buffer | undefined)[] = [];
  private framesFrom = 0;
  private released = 0;

  constructor(first: number, file: SegmentFile | undefined) {
    this.first = first;
    this.file = file;
  }

  get last(): number {
    return this.first + this.count - 1;
  }

  /**
   * A segment for the records from a sequence on, which are lost.
   *
   * @param readable sums of the records before them
   */
  lostFrom(sequence: number, readable: LogSums): Segment {
    const lost = new Segment(sequence, undefined);
    lost.count = this.last - sequence + 1;
    lost.closed = true;
    lost.hasResult = this.hasResult;
    lost.sums = allDropped(endOf(readable, this.sums));
    return lost;
  }

  /** Keeps a record in memory. It must follow the last one that was kept. */
  keep(sequence: number, frame: Buffer): void {
    if (this.frames.length === 0) this.framesFrom = sequence;
    this.frames.push(frame);
  }

  /** A record, if it is in memory. */
  frame(sequence: number): Buffer | undefined {
    return this.frames[sequence - this.framesFrom];
  }

  /** Releases the memory of the records up to a sequence. */
  release(upTo: number, release: (frame: Buffer) => void): void {
    const end = Math.min(upTo - this.framesFrom + 1, this.frames.length);
    for (; this.released < end; this.released++) {
      const frame = this.frames[this.released];
      this.frames[this.released] = undefined;
      if (frame !== undefined) release(frame);
    }
    if (this.released < this.frames.length) return;
    this.frames = [];
    this.released = 0;
  }
}

/** The segment with a record, of segments in order that have it. Undefined: there are no segments. */
export function segmentAt(segments: readonly Segment[], sequence: number): Segment | undefined {
  let low = 0;
  for (let high = segments.length - 1; low < high; ) {
    const middle = (low + high + 1) >> 1;
    if ((segments[middle] as Segment).first <= sequence) low = middle;
    else high = middle - 1;
  }
  return segments[low];
}
