import { errnoOf } from "../../base/errors.ts";
import { BLOCK_BYTES, type Block } from "./disk/segment-file.ts";
import type { Segment } from "./segment.ts";

/** Errors of reading that say nothing about the file. */
const PASSING: ReadonlySet<string> = new Set(["EMFILE", "ENFILE", "ENOMEM", "EAGAIN", "EINTR"]);

/** A segment that cannot be read from some record on. */
export interface Unreadable {
  readonly segment: Segment;
  readonly sequence: number;
  readonly error: unknown;
}

interface Cursor {
  readonly segment: Segment;
  sequence: number;
  /** Place in the segment's file. */
  position: number;
}

/**
 * Reads a lane's records that are on disk only, in order, in large blocks. From the first of them on, every record
 * with a file is on disk only.
 */
export class ReadBack {
  /** Undefined: everything is in memory. */
  private cursor: Cursor | undefined;
  /** The memory that blocks are read into, one at a time. */
  private memory: Buffer | undefined;

  /** Whether nothing is on disk only. */
  get isDone(): boolean {
    return this.cursor === undefined;
  }

  /** Notes a record that is on disk only, unless an earlier one is noted. */
  note(segment: Segment, sequence: number, position: number): void {
    this.cursor ??= { segment, sequence, position };
  }

  /**
   * Reads the next records. One call at a time.
   *
   * @param accept called with each record, unless it was acked or dropped meanwhile; the bytes are valid during the call
   * @returns what cannot be read, if anything
   */
  async next(accept: (segment: Segment, sequence: number, frame: Buffer) => void): Promise<Unreadable | undefined> {
    const { cursor } = this;
    if (cursor?.segment.file === undefined) return undefined;
    const { segment, sequence } = cursor;
    let block: Block;
    try {
      block = await cursor.segment.file.readFrom(cursor.position, (bytes) => this.memoryFor(bytes));
    } catch (error) {
      if (this.cursor !== cursor || segment.standIn !== undefined) return undefined;
      // A shortage that will pass is not damage: the stream ends, and the next one asks again.
      if (PASSING.has(errnoOf(error) ?? "")) throw error;
      return { segment, sequence, error };
    }
    if (this.cursor !== cursor || segment.standIn !== undefined) return undefined;
    for (const frame of block.frames) accept(segment, cursor.sequence++, frame);
    cursor.position = block.end;
    return undefined;
  }

  /** Moves on past what was read, acked or dropped. Must be called after each such change. */
  settle(segments: readonly Segment[], committed: number): void {
    const { cursor } = this;
    if (cursor === undefined) return;
    const ahead = segments.indexOf(cursor.segment);
    if (ahead >= 0 && cursor.segment.standIn === undefined && cursor.sequence <= cursor.segment.last) return;
    this.cursor = undefined;
    for (const segment of segments.slice(ahead + 1)) {
      const { file, first, last, count, standIn } = segment;
      if (first < cursor.segment.first || last <= committed || count === 0) continue;
      if (file === undefined || standIn !== undefined) continue;
      this.note(segment, first, file.start);
      return;
    }
  }

  private memoryFor(bytes: number): Buffer {
    if (this.memory === undefined || this.memory.length < bytes) {
      this.memory = Buffer.allocUnsafeSlow(Math.max(bytes, BLOCK_BYTES));
    }
    return this.memory;
  }
}
