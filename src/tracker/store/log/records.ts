import type { FileHandle } from "node:fs/promises";
import { madeGarbage } from "../../../base/garbage.ts";
import { KiB } from "../../../base/sizes.ts";
import type { PlacedChunk } from "./format.ts";
import { RECORD_HEADER_BYTES, decodeRecord, decodeRecordHeader } from "./format.ts";

/** Read in one go. Large enough to make system calls cheap, small enough for a thousand readers. */
const BLOCK_BYTES = 256 * KiB;

/** A record with its place in the file. */
export interface PlacedRecord {
  readonly sequence: number;
  readonly position: number;
  /** Where the next one begins. */
  readonly end: number;
  /** Their data are views of a buffer that is not used again. */
  readonly chunks: readonly PlacedChunk[];
}

/**
 * Reads records in order, until a position or the first that is cut off or damaged; the caller knows from the last
 * record's `end` which it was.
 *
 * @param from where a record begins
 * @param until where one ends
 */
export async function* readRecords(file: FileHandle, from: number, until: number): AsyncGenerator<PlacedRecord, void> {
  let block: Buffer = Buffer.alloc(0);
  let blockAt = from;
  let position = from;
  const fill = async (bytes: number): Promise<Buffer> => {
    const offset = position - blockAt;
    if (block.length - offset >= bytes) return block.subarray(offset);
    block = await readBlock(file, position, Math.min(Math.max(bytes, BLOCK_BYTES), until - position));
    blockAt = position;
    return block;
  };
  while (position + RECORD_HEADER_BYTES <= until) {
    const header = decodeRecordHeader(await fill(RECORD_HEADER_BYTES));
    if (header === undefined) return;
    const end = position + RECORD_HEADER_BYTES + header.length;
    if (end > until) return;
    const chunks = decodeRecord(await fill(RECORD_HEADER_BYTES + header.length), header, position);
    if (chunks === undefined) return;
    yield { sequence: header.sequence, position, end, chunks };
    position = end;
  }
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
