/**
 * The index of a log file: what the totals were at some positions of it, so that a reader finds a line, byte or time
 * without reading from the start. Only a help: it is never trusted where the log file says otherwise, and made again
 * if it is missing.
 *
 * File: entries of 176 bytes, in order of position. Integers are little-endian.
 *
 *       0   8  position: a record begins here, or the log ended here
 *       8   8  sequence of the record before it
 *      16   8  latest time of a read before it, nanoseconds since the Unix epoch
 *      24  48  for each of stdout, stderr, agent: bytes (8), lines (8), dropped bytes (8), position of the last chunk
 *              with data (8), CRC-32 (4), 1 if the last byte is a newline (1), 0 (11)
 *     168   4  CRC-32 of bytes 0..168
 *     172   4  lower half of the log's owner, see owner.ts; 0 in entries of older versions
 */
import type { FileHandle } from "node:fs/promises";
import { crc32 } from "../../../base/crc32.ts";
import type { LogOwner } from "./owner.ts";
import type { LogTotals, StoredSums } from "./totals.ts";
import { emptyTotals } from "./totals.ts";

const STREAM_BYTES = 48;
const CHECKSUM_AT = 24 + 3 * STREAM_BYTES;
const OWNER_AT = CHECKSUM_AT + 4;
/** Bytes of an entry. */
export const ENTRY_BYTES: number = OWNER_AT + 4;

function halfOf(owner: LogOwner): number {
  return Number(owner.id & 0xffff_ffffn);
}

/** Makes an entry. */
export function encodeEntry(owner: LogOwner, totals: LogTotals): Buffer {
  const entry = Buffer.alloc(ENTRY_BYTES);
  entry.writeBigUInt64LE(BigInt(totals.position), 0);
  entry.writeBigUInt64LE(BigInt(totals.sequence), 8);
  entry.writeBigUInt64LE(totals.maxTime, 16);
  totals.streams.forEach((sums, i) => {
    const at = 24 + i * STREAM_BYTES;
    entry.writeBigUInt64LE(BigInt(sums.bytes), at);
    entry.writeBigUInt64LE(BigInt(sums.lines), at + 8);
    entry.writeBigUInt64LE(BigInt(sums.dropped), at + 16);
    entry.writeBigUInt64LE(BigInt(sums.lastPosition), at + 24);
    entry.writeUInt32LE(sums.crc, at + 32);
    entry.writeUInt8(sums.endsWithNewline ? 1 : 0, at + 36);
  });
  entry.writeUInt32LE(crc32(entry.subarray(0, CHECKSUM_AT)), CHECKSUM_AT);
  entry.writeUInt32LE(halfOf(owner), OWNER_AT);
  return entry;
}

/** Reads an entry. Undefined: its checksum does not hold, or it is another log's. */
export function decodeEntry(entry: Buffer, owner: LogOwner): LogTotals | undefined {
  if (entry.length < ENTRY_BYTES) return undefined;
  const half = entry.readUInt32LE(OWNER_AT);
  if (half !== halfOf(owner) && !(owner.unnamed && half === 0)) return undefined;
  if (entry.readUInt32LE(CHECKSUM_AT) !== crc32(entry.subarray(0, CHECKSUM_AT))) return undefined;
  const totals = emptyTotals(Number(entry.readBigUInt64LE(0)));
  totals.sequence = Number(entry.readBigUInt64LE(8));
  totals.maxTime = entry.readBigUInt64LE(16);
  totals.streams.forEach((sums, i) => decodeSums(entry, 24 + i * STREAM_BYTES, sums));
  return totals;
}

function decodeSums(entry: Buffer, at: number, sums: StoredSums): void {
  sums.bytes = Number(entry.readBigUInt64LE(at));
  sums.lines = Number(entry.readBigUInt64LE(at + 8));
  sums.dropped = Number(entry.readBigUInt64LE(at + 16));
  sums.lastPosition = Number(entry.readBigUInt64LE(at + 24));
  sums.crc = entry.readUInt32LE(at + 32);
  sums.endsWithNewline = entry.readUInt8(at + 36) === 1;
}

/** Reads one entry of an index file by its number, from 0. */
export async function readEntry(file: FileHandle, owner: LogOwner, number: number): Promise<LogTotals | undefined> {
  const entry = Buffer.alloc(ENTRY_BYTES);
  const { bytesRead } = await file.read(entry, 0, ENTRY_BYTES, number * ENTRY_BYTES);
  return bytesRead === ENTRY_BYTES ? decodeEntry(entry, owner) : undefined;
}

/**
 * Finds the last of the first `count` entries for which a condition holds. The condition must hold for a beginning of
 * the entries and for none after it, as "at or before line 7" does.
 *
 * @returns undefined if it holds for none, or where the index is damaged
 */
export async function lastEntry(
  file: FileHandle,
  owner: LogOwner,
  count: number,
  holds: (totals: LogTotals) => boolean,
): Promise<LogTotals | undefined> {
  let low = 0;
  let high = count;
  let found: LogTotals | undefined;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const entry = await readEntry(file, owner, middle);
    if (entry === undefined) return undefined;
    if (holds(entry)) {
      found = entry;
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return found;
}
