/**
 * The log file of an attempt, version 2. Integers are little-endian.
 *
 * File: header, then records until the end. One record is one LogBatch of the wire.
 *
 *     header, 16 bytes   0  4  "BLG2"
 *                        4  8  owner: see owner.ts
 *                       12  4  CRC-32 of bytes 0..12
 *     record, 32 bytes   0  4  magic, "BREC"
 *                        4  4  length of what follows these 32 bytes
 *                        8  8  sequence of the batch
 *                       16  4  number of chunks
 *                       20  8  owner
 *                       28  4  CRC-32 of bytes 0..28 of the record, then of its chunks' headers
 *     chunk, 40 bytes    0  1  stream, as in LogStream
 *                        1  1  1: data, 2: gap
 *                        2  2  reason of a gap, as in GapReason
 *                        4  4  step
 *                        8  8  offset within the stream
 *                       16  8  time of the read, nanoseconds since the Unix epoch
 *                       24  8  bytes of data that follow, or bytes missing for a gap
 *                       32  4  newlines in the data
 *                       36  4  CRC-32 of the data that follow
 *     data                     as the job wrote it
 *
 * The file says what is committed: every record whose checksum holds and whose owner is the file's. Bytes that are not
 * a record, with records after them, are damage: those records are read, and the missing bytes are a gap. Bytes that
 * are not a record, at the end of the file, were never acknowledged, unless the database or the index says so; they are
 * cut off when the file is opened. A job may print the log of another job: the owner in each record keeps that output
 * from being read as records.
 *
 * Version 1 begins with "BELAYLG1" (8), the attempt (4) and the CRC-32 of both (4), and has 0 for each record's owner.
 * Such a file is read, and records of version 2 are appended to it, if the job was created before version 2 existed.
 *
 * A position in a log, as ReadLogs gives it, is an offset into this file: of a chunk, or of a byte of its data.
 */
import { crc32 } from "../../../base/crc32.ts";
import type { LogStream } from "../../../gen/belay/v1/job_pb.ts";
import type { GapReason } from "../../../gen/belay/v1/tracker_service_pb.ts";
import type { LogOwner } from "./owner.ts";

/** Bytes of the file's header. The first record begins here. */
export const FILE_HEADER_BYTES = 16;
/** Bytes of a record's header. */
export const RECORD_HEADER_BYTES = 32;
/** Bytes of a chunk's header. */
export const CHUNK_HEADER_BYTES = 40;
/** Longest record that a reader accepts. A batch is at most 4 MiB; its chunk headers may add to that. */
export const MAX_RECORD_BYTES: number = 16 * 1024 * 1024;

const FILE_MAGIC = Buffer.from("BLG2", "latin1");
const FILE_MAGIC_V1 = Buffer.from("BELAYLG1", "latin1");
/** Where a record has its owner. */
const OWNER_AT = 20;
const RECORD_MAGIC = 0x43455242;

/** One chunk as it is stored. */
export interface StoredChunk {
  readonly stream: LogStream;
  readonly step: number;
  /** Within the stream, gaps included. */
  readonly offset: number;
  readonly readUnixNano: bigint;
  /** Newlines in `data`. */
  readonly lines: number;
  /** CRC-32 of `data`. 0 for a gap. */
  readonly crc: number;
  /** Undefined for a gap. */
  readonly data: Uint8Array | undefined;
  /** Undefined for data. */
  readonly gap: { readonly bytes: number; readonly reason: GapReason } | undefined;
}

/** A chunk with its place in the file. */
export interface PlacedChunk extends StoredChunk {
  /** Where its header begins. */
  readonly position: number;
  /** Where its data begins; the end of the chunk if it has no data. */
  readonly dataPosition: number;
}

/** A record's header as read. */
export interface RecordHeader {
  readonly sequence: number;
  readonly length: number;
  readonly chunks: number;
  readonly checksum: number;
}

/** Makes the file's header. */
export function encodeFileHeader(owner: LogOwner): Buffer {
  const header = Buffer.alloc(FILE_HEADER_BYTES);
  FILE_MAGIC.copy(header);
  header.writeBigUInt64LE(owner.id, 4);
  header.writeUInt32LE(crc32(header.subarray(0, 12)), 12);
  return header;
}

/** The owner that the header names. `damaged`: the file does not begin with a valid header. */
export function ownerOfFile(header: Buffer, owner: LogOwner): "own" | "other" | "damaged" {
  if (header.length < FILE_HEADER_BYTES) return "damaged";
  if (header.readUInt32LE(12) !== crc32(header.subarray(0, 12))) return "damaged";
  if (header.subarray(0, 4).equals(FILE_MAGIC)) return header.readBigUInt64LE(4) === owner.id ? "own" : "other";
  if (!header.subarray(0, 8).equals(FILE_MAGIC_V1)) return "damaged";
  return owner.unnamed && header.readUInt32LE(8) === owner.attempt ? "own" : "other";
}

/** Makes a record: pieces to be written one after the other. The data of chunks is not copied. */
export function encodeRecord(owner: LogOwner, sequence: number, chunks: readonly StoredChunk[]): Uint8Array[] {
  const heads = Buffer.allocUnsafe(RECORD_HEADER_BYTES + chunks.length * CHUNK_HEADER_BYTES);
  const pieces: Uint8Array[] = [];
  let length = 0;
  // Adjacent headers are written as one piece.
  let start = 0;
  let at = RECORD_HEADER_BYTES;
  for (const chunk of chunks) {
    encodeChunkHeader(heads, at, chunk);
    at += CHUNK_HEADER_BYTES;
    length += CHUNK_HEADER_BYTES;
    if (chunk.data !== undefined && chunk.data.byteLength > 0) {
      pieces.push(heads.subarray(start, at), chunk.data);
      start = at;
      length += chunk.data.byteLength;
    }
  }
  if (start < at) pieces.push(heads.subarray(start, at));
  heads.writeUInt32LE(RECORD_MAGIC, 0);
  heads.writeUInt32LE(length, 4);
  heads.writeBigUInt64LE(BigInt(sequence), 8);
  heads.writeUInt32LE(chunks.length, 16);
  heads.writeBigUInt64LE(owner.id, OWNER_AT);
  heads.writeUInt32LE(crc32(heads.subarray(RECORD_HEADER_BYTES), crc32(heads.subarray(0, 28))), 28);
  return pieces;
}

function encodeChunkHeader(head: Buffer, at: number, chunk: StoredChunk): void {
  head.writeUInt8(chunk.stream, at);
  head.writeUInt8(chunk.gap === undefined ? 1 : 2, at + 1);
  head.writeUInt16LE((chunk.gap?.reason ?? 0) & 0xffff, at + 2);
  head.writeUInt32LE(chunk.step, at + 4);
  head.writeBigUInt64LE(BigInt(chunk.offset), at + 8);
  head.writeBigUInt64LE(chunk.readUnixNano, at + 16);
  head.writeBigUInt64LE(BigInt(chunk.gap?.bytes ?? chunk.data?.byteLength ?? 0), at + 24);
  head.writeUInt32LE(chunk.lines, at + 32);
  head.writeUInt32LE(chunk.crc, at + 36);
}

/** Reads a record's header. Undefined: these bytes are not one, or it is another owner's. */
export function decodeRecordHeader(bytes: Buffer, owner: LogOwner): RecordHeader | undefined {
  if (bytes.length < RECORD_HEADER_BYTES || bytes.readUInt32LE(0) !== RECORD_MAGIC) return undefined;
  const found = bytes.readBigUInt64LE(OWNER_AT);
  if (found !== owner.id && !(owner.unnamed && found === 0n)) return undefined;
  const length = bytes.readUInt32LE(4);
  const chunks = bytes.readUInt32LE(16);
  const sequence = Number(bytes.readBigUInt64LE(8));
  if (length > MAX_RECORD_BYTES || chunks * CHUNK_HEADER_BYTES > length || !Number.isSafeInteger(sequence)) {
    return undefined;
  }
  return { sequence, length, chunks, checksum: bytes.readUInt32LE(28) };
}

/**
 * Reads a whole record, its checksum included.
 *
 * @param bytes the record, header and all
 * @param position of the record in the file
 * @returns its chunks, whose data are views of `bytes`; undefined if the checksum does not hold
 */
export function decodeRecord(bytes: Buffer, header: RecordHeader, position: number): PlacedChunk[] | undefined {
  const body = bytes.subarray(RECORD_HEADER_BYTES, RECORD_HEADER_BYTES + header.length);
  if (body.length < header.length) return undefined;
  let checksum = crc32(bytes.subarray(0, 28));
  const chunks: PlacedChunk[] = [];
  let at = 0;
  for (let i = 0; i < header.chunks; i++) {
    const chunk = decodeChunk(body, at, position + RECORD_HEADER_BYTES);
    if (chunk === undefined) return undefined;
    chunks.push(chunk);
    checksum = crc32(body.subarray(at, at + CHUNK_HEADER_BYTES), checksum);
    at += CHUNK_HEADER_BYTES + (chunk.data?.byteLength ?? 0);
  }
  return at === header.length && checksum === header.checksum ? chunks : undefined;
}

function decodeChunk(body: Buffer, at: number, base: number): PlacedChunk | undefined {
  const end = at + CHUNK_HEADER_BYTES;
  if (end > body.length) return undefined;
  const isGap = body.readUInt8(at + 1) === 2;
  const size = Number(body.readBigUInt64LE(at + 24));
  if (!isGap && end + size > body.length) return undefined;
  const data = isGap ? undefined : body.subarray(end, end + size);
  const crc = body.readUInt32LE(at + 36);
  if (data !== undefined && crc32(data) !== crc) return undefined;
  return {
    stream: body.readUInt8(at) as LogStream,
    step: body.readUInt32LE(at + 4),
    offset: Number(body.readBigUInt64LE(at + 8)),
    readUnixNano: body.readBigUInt64LE(at + 16),
    lines: body.readUInt32LE(at + 32),
    crc,
    data,
    gap: isGap ? { bytes: size, reason: body.readUInt16LE(at + 2) as GapReason } : undefined,
    position: base + at,
    dataPosition: base + end,
  };
}
