import type { FileHandle } from "node:fs/promises";
import { madeGarbage } from "../../../base/process/garbage.ts";
import { KiB, MiB } from "../../../base/text/sizes.ts";
import type { PlacedChunk, RecordHeader } from "./format.ts";
import { RECORD_HEADER_BYTES, decodeRecord, decodeRecordHeader } from "./format.ts";
import type { LogOwner } from "./owner.ts";

/** Read in one go. Large enough to make system calls cheap, small enough for a thousand readers. */
const BLOCK_BYTES = 256 * KiB;
/** Bytes that are looked through for a record's beginning in one go: first, and at most. */
const SCAN_BYTES: number = 64 * KiB;
const MAX_SCAN_BYTES: number = 1 * MiB;
/** "BREC", with which every record begins. */
const RECORD_MAGIC = Buffer.from("BREC", "latin1");

/** A record with its place in the file. */
export interface PlacedRecord {
  readonly sequence: number;
  readonly position: number;
  /** Where the next one begins. */
  readonly end: number;
  /** Bytes before it that are no record: the file is damaged there. Mostly 0. */
  readonly skipped: number;
  /** Their data are views of a buffer that is not used again. */
  readonly chunks: readonly PlacedChunk[];
}

/**
 * Reads records in order of sequence, and over what is damaged between them. The caller knows from the last record's
 * `end` whether there is something behind it that is no record.
 *
 * @param from where a record begins
 * @param until where one ends
 */
export async function* readRecords(
  file: FileHandle,
  owner: LogOwner,
  from: number,
  until: number,
): AsyncGenerator<PlacedRecord, void> {
  let block: Buffer = Buffer.alloc(0);
  let blockAt = from;
  let position = from;
  let intact = from;
  let last = 0;
  const fill = async (bytes: number): Promise<Buffer> => {
    const offset = position - blockAt;
    if (offset >= 0 && block.length - offset >= bytes) return block.subarray(offset);
    block = await readBlock(file, position, Math.min(Math.max(bytes, BLOCK_BYTES), until - position));
    blockAt = position;
    return block;
  };
  const header = async (): Promise<RecordHeader | undefined> => {
    const found = decodeRecordHeader(await fill(RECORD_HEADER_BYTES), owner);
    return found !== undefined && found.sequence > last && endOf(position, found) <= until ? found : undefined;
  };
  while (position + RECORD_HEADER_BYTES <= until) {
    const head = await header();
    const chunks =
      head === undefined ? undefined : decodeRecord(await fill(RECORD_HEADER_BYTES + head.length), head, position);
    if (head === undefined || chunks === undefined) {
      const next = await nextHeader(file, owner, position + 1, until, last);
      if (next === undefined) return;
      position = next;
      continue;
    }
    const end = endOf(position, head);
    yield { sequence: head.sequence, position, end, skipped: position - intact, chunks };
    last = head.sequence;
    position = intact = end;
  }
}

function endOf(position: number, header: RecordHeader): number {
  return position + RECORD_HEADER_BYTES + header.length;
}

/** The next place that looks like the beginning of a record with a higher sequence than those before. */
async function nextHeader(
  file: FileHandle,
  owner: LogOwner,
  from: number,
  until: number,
  after: number,
): Promise<number | undefined> {
  let bytes = SCAN_BYTES;
  for (let at = from; at + RECORD_HEADER_BYTES <= until; at += bytes, bytes = Math.min(2 * bytes, MAX_SCAN_BYTES)) {
    // So much more that a header which begins in this block is whole.
    const block = await readBlock(file, at, Math.min(bytes + RECORD_HEADER_BYTES - 1, until - at));
    for (let found = block.indexOf(RECORD_MAGIC); found >= 0; found = block.indexOf(RECORD_MAGIC, found + 1)) {
      const header = decodeRecordHeader(block.subarray(found), owner);
      if (header !== undefined && header.sequence > after && endOf(at + found, header) <= until) return at + found;
    }
  }
  return undefined;
}

/** Reads up to `length` bytes; fewer only at the end of the file. */
async function readBlock(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const block = Buffer.allocUnsafeSlow(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(block, filled, length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  madeGarbage(length);
  return block.subarray(0, filled);
}
