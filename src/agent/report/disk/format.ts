// The files of a spool, version 1. Numbers are little-endian.
//
//   <spool directory>/<session id>/      one for each agent that ran
//     meta.json                          who: see meta.ts. Replaced as a whole, by rename
//     lock                               held by the process that uses the directory: see lock-spool.ts
//     position                           what is delivered and gone: see position-file.ts
//     events-0000000000000001.seg        segments: a run of records of one lane. The number is the sequence of the
//     logs-0000000000000001.seg          first; a segment's successor begins with the sequence after its last
//     logs-0000000000000137.seg          …
//
// A segment is a header and records, one after the other up to the end of the file.
//
//   | header    |    |                                                                                  |
//   |-----------|----|----------------------------------------------------------------------------------|
//   | magic     |  8 | "BelaySeg"                                                                       |
//   | version   |  2 | 1                                                                                |
//   | lane      |  1 | 1 events, 2 logs                                                                 |
//   | kind      |  1 | 1 records, 2 stand-in                                                            |
//   | reserved  |  4 | 0                                                                                |
//   | first     |  8 | sequence of the first record                                                     |
//   | count     |  8 | stand-in: how many records it stands for. Else 0                                 |
//   | checksum  |  4 | CRC-32 of all that                                                               |
//   | reserved  |  4 | 0                                                                                |
//
//   | record    |    |                                                                                  |
//   |-----------|----|----------------------------------------------------------------------------------|
//   | length    |  4 | of the frame. 0: the record is open, see below                                   |
//   | checksum  |  4 | CRC-32 of the frame, with the length as its start value                          |
//   | frame     |  … | the encoded OpenSessionRequest, as it goes over the wire                         |
//
// A stand-in holds one record, which says what is missing; empty records with the sequences that follow stand for the
// others. It takes the place of a segment that was dropped.
//
// The last record of the last segment of logs may be open: its chunks are written as they come, to the place where they
// will stay, and what stands before them (length, checksum, the head of the frame) once it is sealed. Before that it is
// zeros. An open record ends with its last whole chunk.
//
// Nothing is synchronised to the device: what was written survives the death of the agent by whatever signal, not a
// power cut.
import { crc32 } from "../../../base/crc32.ts";
import { BelayError } from "../../../base/errors.ts";
import type { LaneName } from "../spool.ts";

/** Version of the files that this program reads and writes. */
export const FORMAT_VERSION = 1;
/** Bytes of a segment's header. */
export const HEADER_BYTES = 40;
/** Bytes of a record before its frame. */
export const RECORD_HEAD_BYTES = 8;
/** No record is larger than the largest message that a tracker accepts; more is a sign of damage. */
export const MAX_FRAME_BYTES: number = 16 * 1024 * 1024;

const MAGIC = "BelaySeg";
const CHECKED_BYTES = 32;
const LANE_NUMBERS = { events: 1, logs: 2 } as const;

/** What a segment's header says. */
export interface SegmentHeader {
  readonly lane: LaneName;
  readonly first: number;
  /** How many records a stand-in stands for. 0: it is not a stand-in. */
  readonly standsFor: number;
}

/** Name of a segment's file. */
export function segmentName(lane: LaneName, first: number): string {
  return `${lane}-${String(first).padStart(16, "0")}.seg`;
}

/** Lane and first sequence, from the name of a file. Undefined: it is not a segment. */
export function parseSegmentName(name: string): { lane: LaneName; first: number } | undefined {
  const match = /^(events|logs)-(\d{16})\.seg$/.exec(name);
  return match === null ? undefined : { lane: match[1] as LaneName, first: Number(match[2]) };
}

/** Encodes a header. */
export function encodeHeader({ lane, first, standsFor }: SegmentHeader): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.write(MAGIC, "latin1");
  header.writeUInt16LE(FORMAT_VERSION, 8);
  header.writeUInt8(LANE_NUMBERS[lane], 10);
  header.writeUInt8(standsFor > 0 ? 2 : 1, 11);
  header.writeBigUInt64LE(BigInt(first), 16);
  header.writeBigUInt64LE(BigInt(standsFor), 24);
  header.writeUInt32LE(crc32(header.subarray(0, CHECKED_BYTES)), CHECKED_BYTES);
  return header;
}

/**
 * Reads a header.
 *
 * @returns undefined if it is torn or damaged
 * @throws BelayError `SPOOL` if a newer program wrote it
 */
export function decodeHeader(file: Buffer, path: string): SegmentHeader | undefined {
  if (file.length < HEADER_BYTES || file.toString("latin1", 0, 8) !== MAGIC) return undefined;
  if (file.readUInt32LE(CHECKED_BYTES) !== crc32(file.subarray(0, CHECKED_BYTES))) return undefined;
  refuseNewer(file.readUInt16LE(8), path);
  const lane = file.readUInt8(10) === LANE_NUMBERS.events ? "events" : "logs";
  return { lane, first: Number(file.readBigUInt64LE(16)), standsFor: Number(file.readBigUInt64LE(24)) };
}

/** @throws BelayError `SPOOL` */
export function refuseNewer(version: number, path: string): void {
  if (version <= FORMAT_VERSION) return;
  throw new BelayError(
    "SPOOL",
    `Cannot read the spool "${path}": its format is ${version}, this version of belay knows up to ${FORMAT_VERSION}`,
  );
}

/** Writes what stands before a frame. */
export function putRecordHead(target: Buffer, frame: Uint8Array): void {
  target.writeUInt32LE(frame.length, 0);
  target.writeUInt32LE(crc32(frame, frame.length), 4);
}

/** What was found at a place where a record may begin. */
export type RecordAt =
  | { readonly kind: "record"; readonly frame: Buffer; readonly end: number }
  /** Not all of it is there; `bytes` would be. */
  | { readonly kind: "partial"; readonly bytes: number }
  | { readonly kind: "open" }
  | { readonly kind: "damaged" };

/** Reads the record at a place. */
export function recordAt(data: Buffer, at: number): RecordAt {
  if (at + RECORD_HEAD_BYTES > data.length) return { kind: "partial", bytes: RECORD_HEAD_BYTES };
  const length = data.readUInt32LE(at);
  if (length === 0) return { kind: data.readUInt32LE(at + 4) === 0 ? "open" : "damaged" };
  if (length > MAX_FRAME_BYTES) return { kind: "damaged" };
  const end = at + RECORD_HEAD_BYTES + length;
  if (end > data.length) return { kind: "partial", bytes: RECORD_HEAD_BYTES + length };
  const frame = data.subarray(at + RECORD_HEAD_BYTES, end);
  return crc32(frame, length) === data.readUInt32LE(at + 4) ? { kind: "record", frame, end } : { kind: "damaged" };
}
