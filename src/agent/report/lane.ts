import { BelayError } from "../../base/errors.ts";
import { GapReason } from "../../gen/belay/v1/tracker_service_pb.ts";
import { frameBody } from "./chunks.ts";
import type { LaneHost } from "./lane-host.ts";
import { allDropped, assignSums, copySums, endOf, join, type LogSums, noSums } from "./log-sums.ts";
import { ReadBack, type Unreadable } from "./read-back.ts";
import { Segment, segmentAt } from "./segment.ts";
import type { LaneName, RecordFacts } from "./spool.ts";
import { addRange, addRangesOf, emptyFrame, gapFrame, rangesBetween } from "./gap-record.ts";

/**
 * Records of one lane, oldest first, in segments.
 *
 * The records from the oldest up to some point are in memory. The records after that point are on disk only, until they
 * are read from there in large blocks. A segment without a file is in memory as a whole.
 */
export class Lane {
  readonly name: LaneName;
  next = 1;
  committed = 0;
  /** Bytes of memory that records hold. */
  memory = 0;
  /** Of them, those of records that are not on disk as well. */
  memoryOnly = 0;
  /** Sums of the records in segments that are gone, less what was dropped. */
  goneSums: LogSums = noSums();
  /** The job's result was among them. */
  goneResult = false;
  private readonly host: LaneHost;
  private readonly segments: Segment[] = [];
  /** Sequence up to which records have been handed out: they may be on the wire. */
  private sent = 0;
  private readonly onDisk = new ReadBack();
  private fetching: Promise<void> | undefined;
  /** Sums of all that was produced, up to the last record. */
  private readonly produced: LogSums = noSums();
  /** The same, up to the last record of the last closed segment. */
  private closedAt: LogSums = noSums();

  constructor(name: LaneName, host: LaneHost) {
    this.name = name;
    this.host = host;
  }

  get isEmpty(): boolean {
    return this.committed === this.next - 1;
  }

  /** Sequence up to which segments are gone. */
  get goneUpTo(): number {
    return (this.segments[0]?.first ?? this.next) - 1;
  }

  get hasResult(): boolean {
    return this.goneResult || this.segments.some((segment) => segment.hasResult);
  }

  push(frame: Buffer, facts: RecordFacts): void {
    const position = this.write(frame);
    const segment = this.open();
    const sequence = this.next++;
    segment.count++;
    segment.bytes += frame.length;
    if (facts.produced !== undefined) assignSums(this.produced, facts.produced);
    if (facts.result === true) segment.hasResult = true;
    if (this.host.mayDrop && this.name === "logs") addRangesOf(segment.ranges, frameBody(frame, sequence));
    if (position === undefined || (this.onDisk.isDone && this.host.hasRoomFor(frame))) {
      this.keep(segment, sequence, frame);
    } else {
      this.onDisk.note(segment, sequence, position);
      this.host.reclaim(frame);
    }
    if (segment.bytes >= this.sizeOf(segment)) this.close(segment);
  }

  /** Writes those chunks of the next record that are known to the place where they will stay. */
  stage(body: Buffer): void {
    const segment = this.open();
    try {
      segment.file?.stage(this.next, body);
    } catch (error) {
      this.abandonFile(segment, error);
    }
  }

  read(sequence: number): Buffer | Promise<Buffer> | undefined {
    if (sequence <= this.committed || sequence >= this.next) return undefined;
    if (sequence > this.sent) this.sent = sequence;
    return this.find(sequence) ?? this.fetch(sequence);
  }

  /** @returns segments that this ack ends; the caller removes their files */
  ack(sequence: number, retireAll: boolean): Segment[] {
    if (sequence <= this.committed) return [];
    this.committed = Math.min(sequence, this.next - 1);
    const last = this.segments.at(-1);
    if (last !== undefined && !last.closed && last.last <= this.committed && this.isWorthRetiring(last, retireAll)) {
      this.close(last);
    }
    const gone: Segment[] = [];
    for (const segment of this.segments) {
      if (segment.first > this.committed) break;
      this.release(segment, this.committed);
      if (!segment.closed || segment.last > this.committed) break;
      this.goneSums = join(this.goneSums, segment.sums);
      this.goneResult ||= segment.hasResult;
      gone.push(segment);
    }
    this.segments.splice(0, gone.length);
    this.onDisk.settle(this.segments, this.committed);
    return gone;
  }

  /**
   * Drops the oldest segment of which nothing was ever handed out.
   *
   * @param onDisk drop one that is on disk, or one that is not
   * @returns whether there was one
   */
  drop(onDisk: boolean): boolean {
    const index = this.segments.findIndex(
      (segment) =>
        segment.closed &&
        segment.first > this.sent &&
        segment.standIn === undefined &&
        (segment.file !== undefined) === onDisk,
    );
    const segment = this.segments[index];
    if (segment === undefined) return false;
    this.release(segment, segment.last);
    segment.sums = allDropped(segment.sums);
    const before = this.segments[index - 1];
    if (before?.standIn !== undefined && before.first > this.sent) {
      for (const range of segment.ranges) addRange(before.ranges, range);
      before.count += segment.count;
      before.sums = join(before.sums, segment.sums);
      this.replace(before);
      this.segments.splice(index, 1);
      segment.standIn = before.standIn;
      segment.file?.remove();
    } else {
      this.replace(segment);
    }
    this.onDisk.settle(this.segments, this.committed);
    return true;
  }

  /** Sums of what was produced, less what was dropped. */
  kept(produced: LogSums): LogSums {
    let sums = this.goneSums;
    for (const segment of this.segments) if (segment.closed) sums = join(sums, segment.sums);
    return join(sums, endOf(this.closedAt, produced));
  }

  /** Adds a closed segment that was found on disk: it follows those that are here. */
  adopt(segment: Segment): void {
    this.segments.push(segment);
    this.next = segment.last + 1;
    if (segment.file !== undefined && segment.standIn === undefined) {
      this.onDisk.note(segment, segment.first, segment.file.start);
    }
  }

  /** Continues after a sequence, as if everything up to it had been acked. */
  startAfter(sequence: number, goneSums: LogSums, goneResult: boolean): void {
    this.committed = sequence;
    this.next = sequence + 1;
    this.goneSums = goneSums;
    this.goneResult = goneResult;
  }

  closeFiles(): void {
    const last = this.segments.at(-1);
    if (last !== undefined && !last.closed) this.close(last);
  }

  /** @returns where the record is in the file of the open segment; undefined: it is not on disk */
  private write(frame: Buffer): number | undefined {
    const segment = this.open();
    try {
      return segment.file?.append(frame, this.next);
    } catch (error) {
      this.abandonFile(segment, error);
      return undefined;
    }
  }

  private abandonFile(segment: Segment, error: unknown): void {
    this.host.fileFailed(error);
    if (segment.count > 0) this.close(segment);
    else {
      segment.file?.remove();
      segment.file = undefined;
    }
  }

  /** The segment for the next record. */
  private open(): Segment {
    const last = this.segments.at(-1);
    if (last !== undefined && !last.closed) return last;
    const segment = new Segment(this.next, this.host.createFile(this.name, this.next));
    this.segments.push(segment);
    return segment;
  }

  private close(segment: Segment): void {
    segment.closed = true;
    segment.sums = endOf(this.closedAt, this.produced);
    this.closedAt = copySums(this.produced);
    segment.file?.close();
  }

  private isWorthRetiring(segment: Segment, retireAll: boolean): boolean {
    if (segment.count === 0 || segment.file?.isStaged === true) return false;
    return retireAll || segment.bytes >= this.sizeOf(segment) / 8;
  }

  private sizeOf(segment: Segment): number {
    return segment.file === undefined ? this.host.memorySegmentBytes : this.host.segmentBytes;
  }

  private keep(segment: Segment, sequence: number, frame: Buffer): void {
    segment.keep(sequence, frame);
    const bytes = memoryOf(frame);
    this.memory += bytes;
    if (segment.file === undefined) this.memoryOnly += bytes;
  }

  private release(segment: Segment, upTo: number): void {
    segment.release(upTo, (frame) => {
      const bytes = memoryOf(frame);
      this.memory -= bytes;
      if (segment.file === undefined) this.memoryOnly -= bytes;
      this.host.reclaim(frame);
    });
  }

  private replace(segment: Segment): void {
    segment.standIn = gapFrame(segment.first, segment.ranges, GapReason.SPOOL_FULL);
    segment.bytes = segment.standIn.length;
    segment.file?.replace(segment.standIn, segment.count);
  }

  private find(sequence: number): Buffer | undefined {
    const segment = segmentAt(this.segments, sequence);
    if (segment?.standIn === undefined) return segment?.frame(sequence);
    return sequence === segment.first ? segment.standIn : emptyFrame(this.name, sequence);
  }

  private async fetch(sequence: number): Promise<Buffer> {
    while (sequence > this.committed) {
      const frame = this.find(sequence);
      if (frame !== undefined) return frame;
      if (this.onDisk.isDone) throw new BelayError("INTERNAL", `Record ${sequence} of ${this.name} is nowhere`);
      this.fetching ??= this.readOn().finally(() => (this.fetching = undefined));
      await this.fetching;
    }
    // It was acked in the meantime: the tracker will see a duplicate.
    return emptyFrame(this.name, sequence);
  }

  /** Reads the next block of what is on disk only. */
  private async readOn(): Promise<void> {
    const unreadable = await this.onDisk.next((segment, sequence, frame) => {
      if (sequence > this.committed) this.keep(segment, sequence, this.host.copy(frame));
    });
    if (unreadable !== undefined) this.loseRest(unreadable);
    this.onDisk.settle(this.segments, this.committed);
  }

  /** Gives up the rest of a segment, which cannot be read back. A gap record says what is missing. */
  private loseRest({ segment, sequence, error }: Unreadable): void {
    if (!segment.closed) this.close(segment);
    this.host.fileDamaged(error);
    const index = this.segments.indexOf(segment);
    const readable = segment.file?.sumsUpTo(sequence) ?? noSums();
    const lost = segment.lostFrom(sequence, readable);
    const before = this.segments.slice(0, index).reduce((sums, { sums: more }) => join(sums, more), this.goneSums);
    lost.ranges = rangesBetween(join(before, readable), join(before, segment.sums));
    lost.standIn =
      this.name === "logs" ? gapFrame(sequence, lost.ranges, GapReason.SPOOL_DAMAGED) : emptyFrame(this.name, sequence);
    segment.count -= lost.count;
    segment.sums = readable;
    this.segments.splice(index + 1, 0, lost);
    if (segment.count === 0) {
      this.segments.splice(index, 1);
      segment.file?.remove();
    }
    this.onDisk.settle(this.segments, this.committed);
  }
}

/** Bytes that a frame keeps in memory: all of its buffer if it fills most of that; small frames share a pool of Node's. */
function memoryOf(frame: Buffer): number {
  return frame.length * 2 > frame.buffer.byteLength ? frame.buffer.byteLength : frame.length;
}
