import { rm } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, messageOf } from "../../../base/errors.ts";
import type { LaneName } from "../spool.ts";
import { segmentName } from "./format.ts";
import { type SpoolIdentity, writeMeta } from "./meta.ts";
import { type Position, PositionFile } from "./position-file.ts";
import { SegmentFile, type SegmentFileHost } from "./segment-file.ts";

/** After a failure the disk is not used for this long. Milliseconds. */
const RETRY_AFTER = 10_000;

/** What a directory needs of its owner. */
export interface SpoolDirectoryOptions {
  readonly path: string;
  /** Releases the lock. */
  readonly unlock: () => void;
  readonly identity: SpoolIdentity;
  /** Called once when the disk cannot be used, and when it can be used again. */
  readonly onTrouble: (message: string) => void;
  /** Milliseconds, never going back. */
  readonly monotonic: () => number;
}

/**
 * The directory of one session's spool. Its law: no failure of the disk leaves it as an exception. After one,
 * the spool uses memory, reports that once, and tries the disk again with a later segment.
 */
export class SpoolDirectory implements SegmentFileHost {
  readonly path: string;
  /** Bytes in segments. */
  bytes = 0;
  private readonly options: SpoolDirectoryOptions;
  private readonly position: PositionFile;
  private readonly removals = new Set<Promise<void>>();
  private identity: SpoolIdentity;
  /** The file of the identity is not up to date. */
  private isMetaOld = false;
  private failedAt: number | undefined;
  private closed = false;

  constructor(options: SpoolDirectoryOptions) {
    this.options = options;
    this.path = options.path;
    this.identity = options.identity;
    this.position = new PositionFile(options.path);
  }

  /** A file for a new segment. Undefined: no file can be made now. */
  createFile(lane: LaneName, first: number): SegmentFile | undefined {
    if (this.closed) return undefined;
    if (this.failedAt !== undefined && this.options.monotonic() - this.failedAt < RETRY_AFTER) return undefined;
    try {
      return SegmentFile.create(join(this.path, segmentName(lane, first)), lane, first, this);
    } catch (error) {
      this.failed(error);
      return undefined;
    }
  }

  /** Notes that the disk cannot be written. */
  failed(error: unknown): void {
    const first = this.failedAt === undefined;
    this.failedAt = this.options.monotonic();
    if (first) this.options.onTrouble(`${troubleWith(this.path, error)}. The job goes on; output is kept in memory`);
  }

  /** Notes that a record was written. */
  written(): void {
    if (this.failedAt === undefined) return;
    this.failedAt = undefined;
    if (this.isMetaOld) this.saveMeta();
    this.options.onTrouble(`The spool directory "${this.path}" can be written again`);
  }

  /** Notes that the disk cannot be read. */
  damaged(error: unknown): void {
    this.options.onTrouble(`Output is lost: ${messageOf(error)}`);
  }

  admitted(attempt: number): void {
    this.identity = { ...this.identity, attempt };
    this.saveMeta();
  }

  private saveMeta(): void {
    this.isMetaOld = true;
    try {
      writeMeta(this.path, this.identity);
      this.isMetaOld = false;
    } catch (error) {
      this.failed(error);
    }
  }

  savePosition(position: Position): void {
    if (this.closed) return;
    try {
      this.position.write(position);
    } catch (error) {
      this.failed(error);
    }
  }

  loadPosition(): Position | undefined {
    return this.position.read();
  }

  resized(bytes: number): void {
    this.bytes += bytes;
  }

  remove(path: string): void {
    // In the background: freeing the pages of a large file takes a while.
    const removal = rm(path, { force: true }).catch(() => undefined);
    this.removals.add(removal);
    void removal.then(() => this.removals.delete(removal));
  }

  /** @param all remove the directory, too: nothing in it is needed any more */
  async close(all: boolean): Promise<void> {
    this.closed = true;
    this.position.close();
    await Promise.all(this.removals);
    if (all) await rm(this.path, { recursive: true, force: true }).catch(() => undefined);
    this.options.unlock();
  }
}

/** What is wrong with a spool directory, for users. */
export function troubleWith(path: string, error: unknown): string {
  return `Cannot write to the spool directory "${path}": ${reasonOf(error)}`;
}

/** The system's error for a directory, as a clause for users. */
export function reasonOf(error: unknown): string {
  const reasons: Record<string, string> = {
    ENOSPC: "the disk is full",
    EDQUOT: "the disk quota is used up",
    EROFS: "the file system is read-only",
    EACCES: "access is denied",
    ENOENT: "it does not exist",
    ENOTDIR: "it is not a directory",
    EEXIST: "it is not a directory",
  };
  const reason = reasons[errnoOf(error) ?? ""];
  return reason === undefined ? messageOf(error) : `${reason} (${errnoOf(error)})`;
}
