import {
  BATCH_CHUNKS,
  BATCH_SEQUENCE,
  CHUNK_DATA,
  CHUNK_GAP,
  CHUNK_OFFSET,
  CHUNK_READ_UNIX_NANO,
  CHUNK_STEP,
  CHUNK_STREAM,
  GAP_BYTES,
  GAP_REASON,
  REQUEST_LOG_BATCH,
} from "../../contract/wire.ts";
import type { LogStream } from "../../gen/belay/v1/job_pb.ts";

/** Encoded bytes of one log batch, at most: a pipe read of 64 KiB with its header fits into an empty frame. */
const BODY_BYTES = 64 * 1024 + 64;
/** Room in front for what is only known at the end: two tags, the batch's length and its sequence. */
const HEAD_BYTES = 32;
/**
 * Bytes of a length of the batch, a chunk or its data, padded as protobuf allows: so the place of everything after it is
 * known before the length is, a spool can write chunks to disk where they will stay, and a chunk can still grow.
 */
const LENGTH_BYTES = 3;
const SLAB_BYTES = HEAD_BYTES + BODY_BYTES;
/** Output that is read within this time after the first of a chunk goes into it. Nanoseconds: a millisecond. */
const SAME_MOMENT = 1_000_000n;
/** Slabs kept for reuse; the rest is left to the garbage collector. */
const MAX_FREE_SLABS = 80;

/**
 * Memory for frames, used again and again. A flood of output would otherwise make garbage (64 KiB a time, outside the
 * heap) faster than it is collected.
 */
export class SlabPool {
  private readonly free: Buffer[] = [];

  take(): Buffer {
    return this.free.pop() ?? Buffer.allocUnsafeSlow(SLAB_BYTES);
  }

  /** A copy of bytes in memory of its own. */
  copy(bytes: Uint8Array): Buffer {
    if (bytes.length <= SLAB_BYTES / 2 || bytes.length > SLAB_BYTES) return Buffer.from(bytes);
    const frame = this.take().subarray(0, bytes.length);
    frame.set(bytes);
    return frame;
  }

  /** Takes back the memory of a frame that is no longer read. Other buffers are ignored. */
  reclaim(frame: Buffer): void {
    if (frame.buffer.byteLength !== SLAB_BYTES || this.free.length >= MAX_FREE_SLABS) return;
    this.free.push(Buffer.from(frame.buffer as ArrayBuffer, 0, SLAB_BYTES));
  }
}

/** A chunk of data that is the last in a frame. */
interface OpenChunk {
  readonly stream: LogStream;
  readonly step: number;
  readonly readUnixNano: bigint;
  /** Where it begins in the frame, and where the length of its data is. */
  readonly chunk: number;
  readonly length: number;
  /** Encoded bytes of its other fields. */
  readonly fields: number;
  /** Offset in the stream of the byte after it. */
  next: number;
}

/**
 * Encodes one log batch at a time, straight from the bytes read to the bytes on the wire: an `OpenSessionRequest` with
 * a `LogBatch`, in protobuf's encoding (https://protobuf.dev/programming-guides/encoding/). The only copy of output
 * that the agent makes itself is made here.
 */
export class FrameWriter {
  private readonly pool: SlabPool;
  private readonly joins: boolean;
  private slab: Buffer | undefined;
  private end = HEAD_BYTES;
  /** The last chunk, while more data may go into it. */
  private last: OpenChunk | undefined;

  /**
   * @param joins small pieces, one right after the other, become one chunk: a tenth of the work for the tracker. What
   *   `body` has returned changes then
   */
  constructor(pool: SlabPool, joins: boolean) {
    this.pool = pool;
    this.joins = joins;
  }

  get isEmpty(): boolean {
    return this.end === HEAD_BYTES;
  }

  /** True when there is no room worth using. */
  get isFull(): boolean {
    return this.end > SLAB_BYTES - MIN_USEFUL_BYTES;
  }

  /** The chunks so far, encoded. Unless they are joined, they stay as they are. Valid until the frame is sealed. */
  get body(): Buffer {
    return this.slab?.subarray(HEAD_BYTES, this.end) ?? NOTHING;
  }

  /**
   * Adds a chunk, or as much of its data as there is room for.
   *
   * @returns bytes of `data` taken
   */
  append(stream: LogStream, step: number, offset: number, readUnixNano: bigint, data: Uint8Array): number {
    const slab = (this.slab ??= this.pool.take());
    if (this.continues(stream, step, offset, readUnixNano)) return this.extend(slab, data);
    const fields = fieldsBytes(step, offset);
    const room = SLAB_BYTES - this.end - (1 + LENGTH_BYTES) - fields - (1 + LENGTH_BYTES);
    const take = Math.min(data.length, room);
    if (take <= 0) return 0;
    const chunk = this.end;
    let at = putChunkHead(slab, chunk, fields + 1 + LENGTH_BYTES + take, stream, step, offset, readUnixNano);
    slab[at++] = CHUNK_DATA;
    const length = at;
    at = putLength(slab, at, take);
    slab.set(take === data.length ? data : data.subarray(0, take), at);
    this.end = at + take;
    if (this.joins) this.last = { stream, step, readUnixNano, chunk, length, next: offset + take, fields };
    return take;
  }

  private continues(stream: LogStream, step: number, offset: number, readUnixNano: bigint): boolean {
    const { last } = this;
    return (
      last !== undefined &&
      last.stream === stream &&
      last.step === step &&
      last.next === offset &&
      readUnixNano - last.readUnixNano < SAME_MOMENT
    );
  }

  private extend(slab: Buffer, data: Uint8Array): number {
    const { chunk, length, fields } = this.last as OpenChunk;
    const take = Math.min(data.length, SLAB_BYTES - this.end);
    slab.set(take === data.length ? data : data.subarray(0, take), this.end);
    this.end += take;
    (this.last as OpenChunk).next += take;
    const bytes = this.end - length - LENGTH_BYTES;
    putLength(slab, length, bytes);
    putLength(slab, chunk + 1, fields + 1 + LENGTH_BYTES + bytes);
    return take;
  }

  /** Adds a gap in place of bytes. The frame must not be full. */
  appendGap(
    stream: LogStream,
    step: number,
    offset: number,
    readUnixNano: bigint,
    bytes: number,
    reason: number,
  ): void {
    const slab = (this.slab ??= this.pool.take());
    this.last = undefined;
    const gap = 1 + varintBytes(bytes) + 1 + varintBytes(reason);
    const length = fieldsBytes(step, offset) + 1 + varintBytes(gap) + gap;
    let at = putChunkHead(slab, this.end, length, stream, step, offset, readUnixNano);
    slab[at++] = CHUNK_GAP;
    at = putVarint(slab, at, gap);
    slab[at++] = GAP_BYTES;
    at = putVarint(slab, at, bytes);
    slab[at++] = GAP_REASON;
    this.end = putVarint(slab, at, reason);
  }

  /** Ends the batch and gives it its sequence. The writer is empty afterwards; the bytes are the caller's. */
  seal(sequence: number): Buffer {
    const slab = this.slab;
    if (slab === undefined || this.isEmpty) throw new Error("Cannot seal an empty frame");
    const start = HEAD_BYTES - headBytes(sequence);
    putHead(slab, start, sequence, this.end - HEAD_BYTES);
    const frame = slab.subarray(start, this.end);
    this.end = HEAD_BYTES;
    this.last = undefined;
    // A small batch must not hold on to a whole slab while it waits for its ack.
    if (frame.length <= SLAB_BYTES / 2) return Buffer.from(frame);
    this.slab = undefined;
    return frame;
  }
}

const NOTHING = Buffer.alloc(0);

/** Encoded bytes of a batch before its chunks. */
export function headBytes(sequence: number): number {
  return 1 + LENGTH_BYTES + 1 + varintBytes(sequence);
}

/** Writes what stands before the chunks of a batch. */
export function putHead(buffer: Buffer, start: number, sequence: number, bodyBytes: number): void {
  const batch = 1 + varintBytes(sequence) + bodyBytes;
  buffer[start] = REQUEST_LOG_BATCH;
  putLength(buffer, start + 1, batch);
  buffer[start + 1 + LENGTH_BYTES] = BATCH_SEQUENCE;
  putVarint(buffer, start + 2 + LENGTH_BYTES, sequence);
}

/** Room left under which a frame counts as full: a header and a few bytes. */
const MIN_USEFUL_BYTES = 1024;

/** Encoded bytes of a chunk's stream, step, offset and time, which come before its data. */
function fieldsBytes(step: number, offset: number): number {
  return 2 + 1 + varintBytes(step) + 1 + varintBytes(offset) + 9;
}

function putChunkHead(
  slab: Buffer,
  start: number,
  length: number,
  stream: LogStream,
  step: number,
  offset: number,
  readUnixNano: bigint,
): number {
  let at = start;
  slab[at++] = BATCH_CHUNKS;
  at = putLength(slab, at, length);
  slab[at++] = CHUNK_STREAM;
  slab[at++] = stream;
  slab[at++] = CHUNK_STEP;
  at = putVarint(slab, at, step);
  slab[at++] = CHUNK_OFFSET;
  at = putVarint(slab, at, offset);
  slab[at++] = CHUNK_READ_UNIX_NANO;
  return slab.writeBigUInt64LE(readUnixNano, at);
}

/** Writes a length in as many bytes as any length may need. */
function putLength(buffer: Buffer, at: number, length: number): number {
  buffer[at] = (length & 0x7f) | 0x80;
  buffer[at + 1] = ((length >>> 7) & 0x7f) | 0x80;
  buffer[at + 2] = length >>> 14;
  return at + LENGTH_BYTES;
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest > 127; rest = Math.floor(rest / 128)) bytes++;
  return bytes;
}

function putVarint(buffer: Buffer, at: number, value: number): number {
  let rest = value;
  while (rest > 127) {
    buffer[at++] = (rest % 128) | 128;
    rest = Math.floor(rest / 128);
  }
  buffer[at++] = rest;
  return at;
}
