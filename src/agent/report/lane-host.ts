import type { SegmentFile } from "./disk/segment-file.ts";
import type { LaneName } from "./spool.ts";

/** What both lanes of a spool share. */
export interface LaneHost {
  /** Encoded bytes after which a segment on disk is closed. */
  readonly segmentBytes: number;
  /** The same for one that is in memory only. */
  readonly memorySegmentBytes: number;
  /** Whether records may be dropped: their contents are noted. */
  readonly mayDrop: boolean;
  /** Whether memory has room for a record that is on disk as well. */
  hasRoomFor(frame: Buffer): boolean;
  /** A file for a new segment. Undefined: no file is available. */
  createFile(lane: LaneName, first: number): SegmentFile | undefined;
  /** Called when a file cannot be written. */
  fileFailed(error: unknown): void;
  /** Called when a file cannot be read back. */
  fileDamaged(error: unknown): void;
  /** A copy in memory that `reclaim` takes back. */
  copy(frame: Uint8Array): Buffer;
  reclaim(frame: Buffer): void;
}
