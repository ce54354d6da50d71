import {
  BATCH_CHUNKS,
  CHUNK_DATA,
  CHUNK_GAP,
  CHUNK_OFFSET,
  CHUNK_READ_UNIX_NANO,
  CHUNK_STEP,
  CHUNK_STREAM,
  GAP_BYTES,
  GAP_REASON,
} from "../../contract/wire.ts";
import type { LogStream } from "../../gen/belay/v1/job_pb.ts";
import { headBytes } from "./frame.ts";

/** A chunk in the body of a frame that `FrameWriter` wrote. */
export interface FrameChunk {
  readonly stream: LogStream;
  readonly step: number;
  readonly offset: number;
  readonly readUnixNano: bigint;
  /** Bytes that it brings, or that are missing. */
  readonly bytes: number;
  /** Where its data is in the body; undefined: it is a gap. */
  readonly dataAt: number | undefined;
  /** Where the next chunk begins. */
  readonly end: number;
}

/** The chunks of a sealed frame of the lane of logs. */
export function frameBody(frame: Buffer, sequence: number): Buffer {
  return frame.subarray(headBytes(sequence));
}

/**
 * The chunk at a place in the body of a frame.
 *
 * @returns undefined if no whole chunk is there
 */
export function chunkAt(body: Buffer, start: number): FrameChunk | undefined {
  const reader = new Reader(body, start);
  if (!reader.tag(BATCH_CHUNKS)) return undefined;
  const length = reader.varint();
  const end = reader.at + length;
  if (!(end <= body.length) || !reader.tag(CHUNK_STREAM)) return undefined;
  const stream = reader.varint() as LogStream;
  if (!(stream >= 1 && stream <= 3) || !reader.tag(CHUNK_STEP)) return undefined;
  const step = reader.varint();
  if (Number.isNaN(step) || !reader.tag(CHUNK_OFFSET)) return undefined;
  const offset = reader.varint();
  if (Number.isNaN(offset) || !reader.tag(CHUNK_READ_UNIX_NANO) || reader.at + 8 > end) return undefined;
  const readUnixNano = body.readBigUInt64LE(reader.at);
  reader.at += 8;
  if (reader.tag(CHUNK_DATA)) {
    const bytes = reader.varint();
    if (reader.at + bytes !== end) return undefined;
    return { stream, step, offset, readUnixNano, bytes, dataAt: reader.at, end };
  }
  if (!reader.tag(CHUNK_GAP)) return undefined;
  reader.varint();
  if (!reader.tag(GAP_BYTES)) return undefined;
  const bytes = reader.varint();
  if (!reader.tag(GAP_REASON)) return undefined;
  reader.varint();
  return reader.at === end ? { stream, step, offset, readUnixNano, bytes, dataAt: undefined, end } : undefined;
}

/** All chunks of a body, as far as they are whole. */
export function* chunksOf(body: Buffer): Generator<FrameChunk, void> {
  for (let at = 0; at < body.length; ) {
    const chunk = chunkAt(body, at);
    if (chunk === undefined) return;
    yield chunk;
    at = chunk.end;
  }
}

class Reader {
  at: number;
  private readonly body: Buffer;

  constructor(body: Buffer, at: number) {
    this.body = body;
    this.at = at;
  }

  /** Passes a tag, if it is the next byte. */
  tag(value: number): boolean {
    if (this.body[this.at] !== value) return false;
    this.at++;
    return true;
  }

  /** NaN beyond the end, or if it is longer than any that Belay writes. */
  varint(): number {
    let value = 0;
    for (let factor = 1; factor <= 2 ** 56; factor *= 128) {
      const byte = this.body[this.at++];
      if (byte === undefined) return Number.NaN;
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
    return Number.NaN;
  }
}
