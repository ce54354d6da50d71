import { KiB, MiB } from "../../base/text/sizes.ts";
import type { SegmentFile } from "./disk/segment-file.ts";
import type { SpoolDirectory } from "./disk/spool-directory.ts";
import type { SlabPool } from "./frame.ts";
import { Lane } from "./lane.ts";
import type { LaneHost } from "./lane-host.ts";
import type { LogSums } from "./log-sums.ts";
import type { LaneName, RecordFacts, Spool } from "./spool.ts";

/** Memory that waiting records may take: beyond it they are on disk only, or the bound is reached. */
export const DEFAULT_MEMORY_LIMIT: number = 8 * MiB;
/** Largest segment. */
const MAX_SEGMENT_BYTES = 8 * MiB;
const MIN_SEGMENT_BYTES = 64 * KiB;
/** A full spool has at least this many segments, so that only a part of it is dropped or freed at once. */
const SEGMENTS = 8;

/** What to do with logs when a spool is full. */
export type FullPolicy = "block" | "drop";

/** Options of a spool. */
export interface LaneSpoolOptions {
  readonly pool: SlabPool;
  /** Most bytes of memory. @default 8 MiB */
  readonly memoryLimit?: number | undefined;
  /** Most bytes on disk. */
  readonly diskLimit?: number | undefined;
  /** @default "block" */
  readonly onFull?: FullPolicy | undefined;
  /** Where its segments are. Absent: in memory only. */
  readonly directory?: SpoolDirectory | undefined;
}

/**
 * A spool in memory, and on disk if it has a directory: every record is written there before `push` returns, and what
 * has no room in memory is read back from there. See `Spool` for its law.
 *
 * Memory is bounded for records that are on disk as well, and by as much again for those that are not because the disk
 * failed. With the policy to drop it holds two segments more than its bound at most: what may be on the wire is not dropped.
 */
export class LaneSpool implements Spool {
  onPush: () => void = () => undefined;
  onRoom: () => void = () => undefined;
  private readonly lanes: { readonly [name in LaneName]: Lane };
  private readonly options: LaneSpoolOptions;
  private readonly memoryLimit: number;
  private readonly diskLimit: number;

  constructor(options: LaneSpoolOptions) {
    this.options = options;
    const { pool, directory } = options;
    this.memoryLimit = options.memoryLimit ?? DEFAULT_MEMORY_LIMIT;
    this.diskLimit = options.diskLimit ?? Number.POSITIVE_INFINITY;
    const host: LaneHost = {
      segmentBytes: segmentBytes(this.diskLimit),
      memorySegmentBytes: segmentBytes(this.memoryLimit),
      mayDrop: options.onFull === "drop",
      hasRoomFor: (frame) => this.memoryBytes + frame.length <= this.memoryLimit,
      createFile: (lane, first): SegmentFile | undefined => directory?.createFile(lane, first),
      fileFailed: (error) => directory?.failed(error),
      fileDamaged: (error) => directory?.damaged(error),
      copy: (frame) => pool.copy(frame),
      reclaim: (frame) => pool.reclaim(frame),
    };
    this.lanes = { events: new Lane("events", host), logs: new Lane("logs", host) };
  }

  get full(): boolean {
    if (this.options.onFull === "drop") return false;
    return this.memoryIsFull || this.diskIsFull;
  }

  get memoryBytes(): number {
    return this.lanes.events.memory + this.lanes.logs.memory;
  }

  get diskBytes(): number {
    return this.options.directory?.bytes ?? 0;
  }

  get unkeptBytes(): number {
    return this.lanes.events.memoryOnly + this.lanes.logs.memoryOnly;
  }

  nextSequence(lane: LaneName): number {
    return this.lanes[lane].next;
  }

  push(lane: LaneName, frame: Buffer, facts: RecordFacts = {}): void {
    this.lanes[lane].push(frame, facts);
    if (this.options.onFull === "drop") {
      while (this.memoryIsFull && this.lanes.logs.drop(false));
      while (this.diskIsFull && this.lanes.logs.drop(true));
    }
    this.onPush();
  }

  get stages(): boolean {
    return this.options.directory !== undefined;
  }

  stage(body: Buffer): void {
    if (this.stages) this.lanes.logs.stage(body);
  }

  read(lane: LaneName, sequence: number): Buffer | Promise<Buffer> | undefined {
    return this.lanes[lane].read(sequence);
  }

  ack(lane: LaneName, sequence: number): void {
    const gone = this.lanes[lane].ack(sequence, this.memoryIsFull || this.diskIsFull);
    if (gone.length > 0) {
      const { events, logs } = this.lanes;
      this.options.directory?.savePosition({
        events: events.goneUpTo,
        logs: logs.goneUpTo,
        result: events.goneResult,
        sums: logs.goneSums,
      });
      for (const { file } of gone) file?.remove();
    }
    this.onRoom();
  }

  committed(lane: LaneName): number {
    return this.lanes[lane].committed;
  }

  lowestHeld(lane: LaneName): number {
    const held = this.lanes[lane];
    return held.isEmpty ? 0 : held.committed + 1;
  }

  kept(produced: LogSums): LogSums {
    return this.lanes.logs.kept(produced);
  }

  /** Whether the job's result is among its records, or was. */
  get hasResult(): boolean {
    return this.lanes.events.hasResult;
  }

  /** One of its lanes, to be filled with what was found on disk. */
  lane(name: LaneName): Lane {
    return this.lanes[name];
  }

  admitted(attempt: number): void {
    this.options.directory?.admitted(attempt);
  }

  async close(): Promise<void> {
    const { events, logs } = this.lanes;
    events.closeFiles();
    logs.closeFiles();
    await this.options.directory?.close(events.isEmpty && logs.isEmpty);
  }

  private get memoryIsFull(): boolean {
    const bytes = this.unkeptBytes;
    return bytes > 0 && bytes >= this.memoryLimit;
  }

  private get diskIsFull(): boolean {
    return this.diskBytes >= this.diskLimit;
  }
}

function segmentBytes(limit: number): number {
  return Math.min(MAX_SEGMENT_BYTES, Math.max(MIN_SEGMENT_BYTES, limit / SEGMENTS));
}
