import fs from "node:fs";
import { mayChangeUnseen } from "../../base/files/file-time.ts";
import { KiB, MiB } from "../../base/text/sizes.ts";
import { createMetricsFile, openMetricsFile } from "./make-file.ts";

/** Size of one read: parsing so many lines blocks the event loop for a few milliseconds. Bytes. */
const CHUNK_BYTES: number = 64 * KiB;
/** If more than this is unread, the oldest of it is skipped. Bytes. */
export const MOST_UNREAD_BYTES: number = 16 * MiB;
/** How much of the last read is compared, to see whether the file still has the same content. Bytes. */
const TAIL_BYTES = 64;

/** One result of following a file. */
export type Piece =
  /** The next bytes of the file. Valid until the next call. */
  | { readonly kind: "bytes"; readonly bytes: Buffer }
  /**
   * The file was truncated, overwritten, removed or replaced; the next bytes are from the start of the current file.
   */
  | { readonly kind: "restarted" }
  /** So many bytes are skipped. */
  | { readonly kind: "skipped"; readonly bytes: number };

/**
 * Follows a file to which other processes append, and copes with whatever else they do to it.
 *
 * No call blocks: only a regular file is ever opened, and no link is followed. When the file is replaced, the old one
 * is read to its end first.
 */
export class FollowedFile {
  readonly path: string;
  private readonly problem: (what: string) => void;
  private fd: number | undefined;
  /** How far the file has been read. */
  private offset = 0;
  private tail: Buffer = Buffer.alloc(0);
  /** `mtimeMs` at the last read to the end; -1: read again. */
  private changed = -1;
  private readonly buffer: Buffer = Buffer.allocUnsafe(TAIL_BYTES + CHUNK_BYTES);

  /**
   * @param fd of the new file; closed here. Undefined: the file is opened by its path
   * @param problem called with a clause, why the path cannot be read, at each attempt to open it
   */
  constructor(path: string, fd: number | undefined, problem: (what: string) => void) {
    this.path = path;
    this.fd = fd;
    this.problem = problem;
  }

  /** The next result. Undefined: there is nothing now. */
  next(): Piece | undefined {
    if (this.fd === undefined) {
      this.fd = this.reopen();
      if (this.fd === undefined) return undefined;
    }
    // Checked before the last read, so that nothing appended to the old file before its replacement is missed.
    const replaced = this.isReplaced(this.fd);
    const piece = this.read(this.fd);
    if (piece !== undefined || !replaced) return piece;
    this.closeFd();
    return { kind: "restarted" };
  }

  /** The open file, how far it has been read, and how many of the last bytes before that are still needed. */
  get consumed(): { readonly fd: number; readonly offset: number; readonly needed: number } | undefined {
    if (this.fd === undefined) return undefined;
    return { fd: this.fd, offset: this.offset, needed: this.tail.length };
  }

  /** Must be called when the agent itself has emptied the file. */
  emptied(): void {
    this.restart();
  }

  close(): void {
    this.closeFd();
  }

  private read(fd: number): Piece | undefined {
    const stat = fs.fstatSync(fd);
    if (stat.size === this.offset && stat.mtimeMs === this.changed) return undefined;
    if (stat.size < this.offset) return this.restart();
    const { length } = this.tail;
    const got = fs.readSync(fd, this.buffer, 0, length + CHUNK_BYTES, this.offset - length);
    // The content is different: the file was truncated and has grown again, or was overwritten in place.
    if (!this.buffer.subarray(0, Math.min(got, length)).equals(this.tail)) return this.restart();
    if (got > length) {
      const skip = stat.size - this.offset - MOST_UNREAD_BYTES;
      if (skip > 0) return this.skip(skip);
      const bytes = this.buffer.subarray(length, got);
      this.offset += bytes.length;
      this.tail = Buffer.from(this.buffer.subarray(Math.max(0, got - TAIL_BYTES), got));
      return { kind: "bytes", bytes };
    }
    this.changed = mayChangeUnseen(stat.mtimeMs) ? -1 : stat.mtimeMs;
    return undefined;
  }

  private skip(bytes: number): Piece {
    this.offset += bytes;
    this.tail = Buffer.alloc(0);
    return { kind: "skipped", bytes };
  }

  private restart(): Piece {
    this.offset = 0;
    this.tail = Buffer.alloc(0);
    this.changed = -1;
    return { kind: "restarted" };
  }

  private isReplaced(fd: number): boolean {
    const open = fs.fstatSync(fd);
    try {
      const there = fs.lstatSync(this.path);
      return there.ino !== open.ino || there.dev !== open.dev;
    } catch {
      return true;
    }
  }

  /** Opens the file at the path; makes a new one if there is nothing. */
  private reopen(): number | undefined {
    this.restart();
    try {
      return openMetricsFile(this.path) ?? createMetricsFile(this.path);
    } catch (error) {
      this.problem(error instanceof Error ? error.message : String(error));
      return undefined;
    }
  }

  private closeFd(): void {
    if (this.fd !== undefined) fs.closeSync(this.fd);
    this.fd = undefined;
  }
}
