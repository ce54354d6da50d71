import fs from "node:fs";
import { KiB, MiB } from "../../base/sizes.ts";
import { createMetricsFile, openMetricsFile } from "./make-file.ts";

/** Read at one time: lines of this size take a few milliseconds, in which nothing else is done. Bytes. */
const CHUNK_BYTES: number = 64 * KiB;
/** More than this unread is not caught up with: the oldest of it is left out. Bytes. */
export const MOST_UNREAD_BYTES: number = 16 * MiB;
/** As much of what was read last is compared, to see whether the file is still the same. Bytes. */
const TAIL_BYTES = 64;
/** Times of files go by the kernel's clock tick: a second change within one cannot be told from the first. Ms. */
const TICK_MS = 20;

/** What following a file comes upon. */
export type Piece =
  /** More of the file. Valid until the next call. */
  | { readonly kind: "bytes"; readonly bytes: Buffer }
  /** The file was truncated, overwritten, removed or replaced; what comes is from the start of what is there now. */
  | { readonly kind: "anew" }
  /** So many bytes are left out. */
  | { readonly kind: "skipped"; readonly bytes: number };

/**
 * Reads on in a file to which others append, whatever they do to it otherwise.
 *
 * Nothing here waits: what is not a regular file is never opened, and no link is followed. When the file is replaced,
 * the old one is read to its end first.
 */
export class FollowedFile {
  readonly path: string;
  private readonly problem: (what: string) => void;
  private fd: number | undefined;
  /** Up to where it was read. */
  private offset = 0;
  private tail: Buffer = Buffer.alloc(0);
  /** As of the last read to the end; -1: look again. */
  private changed = -1;
  private readonly buffer: Buffer = Buffer.allocUnsafe(TAIL_BYTES + CHUNK_BYTES);

  /**
   * @param fd of the file as it was made; it is closed here. Undefined: it is opened by its path
   * @param problem told why there is nothing to be read at the path, as a clause, each time it is looked for
   */
  constructor(path: string, fd: number | undefined, problem: (what: string) => void) {
    this.path = path;
    this.fd = fd;
    this.problem = problem;
  }

  /** What comes next. Undefined: nothing at this time. */
  next(): Piece | undefined {
    if (this.fd === undefined) {
      this.fd = this.reopen();
      if (this.fd === undefined) return undefined;
    }
    // Before the last read: what was appended to the old one until it was replaced is not missed.
    const replaced = this.isReplaced(this.fd);
    const piece = this.read(this.fd);
    if (piece !== undefined || !replaced) return piece;
    this.closeFd();
    return { kind: "anew" };
  }

  /** The open file, and up to where everything in it has been read; the last bytes are still needed. */
  get done(): { readonly fd: number; readonly offset: number; readonly needed: number } | undefined {
    if (this.fd === undefined) return undefined;
    return { fd: this.fd, offset: this.offset, needed: this.tail.length };
  }

  /** Told that the file was emptied by the agent itself. */
  emptied(): void {
    this.startAnew();
  }

  close(): void {
    this.closeFd();
  }

  private read(fd: number): Piece | undefined {
    const stat = fs.fstatSync(fd);
    if (stat.size === this.offset && stat.mtimeMs === this.changed) return undefined;
    if (stat.size < this.offset) return this.startAnew();
    const { length } = this.tail;
    const got = fs.readSync(fd, this.buffer, 0, length + CHUNK_BYTES, this.offset - length);
    // Its content is another one: it was truncated and has grown again, or was overwritten in place.
    if (!this.buffer.subarray(0, Math.min(got, length)).equals(this.tail)) return this.startAnew();
    if (got > length) {
      const skip = stat.size - this.offset - MOST_UNREAD_BYTES;
      if (skip > 0) return this.skip(skip);
      const bytes = this.buffer.subarray(length, got);
      this.offset += bytes.length;
      this.tail = Buffer.from(this.buffer.subarray(Math.max(0, got - TAIL_BYTES), got));
      return { kind: "bytes", bytes };
    }
    this.changed = Math.abs(Date.now() - stat.mtimeMs) < TICK_MS ? -1 : stat.mtimeMs;
    return undefined;
  }

  private skip(bytes: number): Piece {
    this.offset += bytes;
    this.tail = Buffer.alloc(0);
    return { kind: "skipped", bytes };
  }

  private startAnew(): Piece {
    this.offset = 0;
    this.tail = Buffer.alloc(0);
    this.changed = -1;
    return { kind: "anew" };
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

  /** Opens what is at the path now; makes a new file if nothing is. */
  private reopen(): number | undefined {
    this.startAnew();
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
