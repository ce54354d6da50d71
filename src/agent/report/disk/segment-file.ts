import fs from "node:fs";
import { open } from "node:fs/promises";
import { BelayError } from "../../../base/errors.ts";
import { KiB } from "../../../base/text/sizes.ts";
import { headBytes } from "../frame.ts";
import type { LogSums } from "../log-sums.ts";
import type { LaneName } from "../spool.ts";
import { encodeHeader, HEADER_BYTES, putRecordHead, RECORD_HEAD_BYTES, recordAt } from "./format.ts";
import { scanSegment } from "./scan.ts";

/** What is read from a file at once. Larger records are read by themselves. */
export const BLOCK_BYTES: number = 512 * KiB;

/** Whole records of a file. */
export interface Block {
  /** Valid until another block is read into the same memory. */
  readonly frames: readonly Buffer[];
  /** Where the next record begins. */
  readonly end: number;
}

/** What a file reports to the directory that counts its bytes. */
export interface SegmentFileHost {
  /** Its size has changed by some bytes. */
  resized(bytes: number): void;
  /** A record was written to it. */
  written(): void;
  /** It must be removed. */
  remove(path: string): void;
}

/**
 * One segment on disk; format.ts says what is in it. When a call returns, the operating system has what was written: it
 * survives the death of this process.
 */
export class SegmentFile {
  /** Where the first record begins. */
  readonly start: number = HEADER_BYTES;
  private readonly path: string;
  private readonly lane: LaneName;
  private readonly first: number;
  private readonly host: SegmentFileHost;
  private fd: number | undefined;
  /** Bytes of header and sealed records. */
  private size = 0;
  /** Bytes of chunks of the open record that are written. */
  private staged = 0;
  private readonly head = Buffer.alloc(64);

  private constructor(path: string, lane: LaneName, first: number, host: SegmentFileHost) {
    this.path = path;
    this.lane = lane;
    this.first = first;
    this.host = host;
  }

  /** Makes a new file. Throws the system's error. */
  static create(path: string, lane: LaneName, first: number, host: SegmentFileHost): SegmentFile {
    const file = new SegmentFile(path, lane, first, host);
    file.fd = fs.openSync(path, "wx", 0o600);
    try {
      file.writeAll([encodeHeader({ lane, first, standsFor: 0 })], 0);
    } catch (error) {
      fs.closeSync(file.fd);
      fs.rmSync(path, { force: true });
      throw error;
    }
    file.grow(HEADER_BYTES);
    return file;
  }

  /** A file that was found. No more records are added. */
  static found(path: string, lane: LaneName, first: number, size: number, host: SegmentFileHost): SegmentFile {
    const file = new SegmentFile(path, lane, first, host);
    file.grow(size);
    return file;
  }

  get isStaged(): boolean {
    return this.staged > 0;
  }

  /** Writes a record, as far as it is not staged. @returns where it begins */
  append(frame: Buffer, sequence: number): number {
    const position = this.size;
    putRecordHead(this.head, frame);
    if (this.staged === 0) {
      this.writeAll([this.head.subarray(0, RECORD_HEAD_BYTES), frame], position);
    } else {
      const bodyAt = headBytes(sequence);
      const rest = frame.subarray(bodyAt + this.staged);
      if (rest.length > 0) this.writeAll([rest], position + RECORD_HEAD_BYTES + bodyAt + this.staged);
      // The length comes last: it makes the bytes a record.
      frame.copy(this.head, RECORD_HEAD_BYTES, 0, bodyAt);
      this.writeAll([this.head.subarray(0, RECORD_HEAD_BYTES + bodyAt)], position);
      this.staged = 0;
    }
    this.grow(RECORD_HEAD_BYTES + frame.length);
    this.host.written();
    return position;
  }

  /** Writes the chunks of the next record to where they will stay. */
  stage(sequence: number, body: Buffer): void {
    const at = this.size + RECORD_HEAD_BYTES + headBytes(sequence) + this.staged;
    this.writeAll([body.subarray(this.staged)], at);
    this.staged = body.length;
  }

  /** Puts a record in the place of all of them. What cannot be written is removed. */
  replace(standIn: Buffer, standsFor: number): void {
    this.close();
    const head = Buffer.alloc(RECORD_HEAD_BYTES);
    putRecordHead(head, standIn);
    const content = Buffer.concat([encodeHeader({ lane: this.lane, first: this.first, standsFor }), head, standIn]);
    try {
      fs.writeFileSync(`${this.path}.new`, content, { mode: 0o600 });
      fs.renameSync(`${this.path}.new`, this.path);
      this.grow(content.length - this.size);
    } catch {
      this.remove();
    }
  }

  /**
   * Reads whole records from a place on, one at least. Rejects if no whole record is there.
   *
   * @param memory gives memory of some size to read into
   */
  async readFrom(position: number, memory: (bytes: number) => Buffer): Promise<Block> {
    const handle = await open(this.path, "r");
    try {
      for (let wanted = Math.min(BLOCK_BYTES, this.size - position); ; ) {
        const data = memory(wanted);
        const { bytesRead } = await handle.read(data, 0, wanted, position);
        const frames: Buffer[] = [];
        let at = 0;
        for (;;) {
          const record = recordAt(data.subarray(0, bytesRead), at);
          if (record.kind === "record") {
            frames.push(record.frame);
            at = record.end;
            continue;
          }
          if (frames.length > 0) return { frames, end: position + at };
          if (record.kind !== "partial" || record.bytes <= wanted || position + record.bytes > this.size) {
            throw new BelayError("SPOOL", `Cannot read "${this.path}" from byte ${position} on: it is damaged`);
          }
          wanted = record.bytes;
          break;
        }
      }
    } finally {
      await handle.close();
    }
  }

  /** Sums of the records before one, as far as they can be read. */
  sumsUpTo(sequence: number): LogSums | undefined {
    try {
      return scanSegment(fs.readFileSync(this.path), this.path, sequence - 1)?.sums;
    } catch {
      return undefined;
    }
  }

  /** Closes it for records. What is not sealed is cut off. */
  close(): void {
    const { fd } = this;
    if (fd === undefined) return;
    this.fd = undefined;
    this.staged = 0;
    try {
      fs.ftruncateSync(fd, this.size);
    } catch {
      // Then the recovery cuts it off.
    }
    fs.closeSync(fd);
  }

  remove(): void {
    this.close();
    this.host.resized(-this.size);
    this.size = 0;
    this.host.remove(this.path);
  }

  private grow(bytes: number): void {
    this.size += bytes;
    this.host.resized(bytes);
  }

  private writeAll(buffers: Buffer[], position: number): void {
    const fd = this.fd as number;
    const total = buffers.reduce((sum, { length }) => sum + length, 0);
    let written = fs.writevSync(fd, buffers, position);
    if (written === total) return;
    // A short write: the next write throws the cause.
    const all = Buffer.concat(buffers);
    while (written < total) written += fs.writeSync(fd, all, written, total - written, position + written);
  }
}
