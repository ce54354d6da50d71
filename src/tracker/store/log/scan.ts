import type { FileHandle } from "node:fs/promises";
import { MiB } from "../../../base/sizes.ts";
import type { PlacedChunk } from "./format.ts";
import { CHUNK_HEADER_BYTES, RECORD_HEADER_BYTES, decodeRecord, decodeRecordHeader } from "./format.ts";

/** "BREC", with which every record begins. */
const RECORD_MAGIC = Buffer.from("BREC", "latin1");
/** Bytes that are looked through for a record's beginning in one go. */
const SCAN_BYTES = 1 * MiB;

/** The record at a position; undefined: there is none that is whole and has a higher sequence than `after`. */
export async function recordAt(
  file: FileHandle,
  position: number,
  size: number,
  after: number,
): Promise<{ sequence: number; end: number; chunks: PlacedChunk[] } | undefined> {
  if (position + RECORD_HEADER_BYTES > size) return undefined;
  const header = decodeRecordHeader(await readAt(file, position, RECORD_HEADER_BYTES));
  const end = position + RECORD_HEADER_BYTES + (header?.length ?? 0);
  if (header === undefined || end > size || header.sequence <= after) return undefined;
  const chunks = decodeRecord(await readAt(file, position, end - position), header, position);
  return chunks === undefined ? undefined : { sequence: header.sequence, end, chunks };
}

/** Where the next record begins that can be read and has a higher sequence than the last one before it. */
export async function nextRecord(
  file: FileHandle,
  from: number,
  size: number,
  after: number,
): Promise<number | undefined> {
  const shortest = RECORD_HEADER_BYTES + CHUNK_HEADER_BYTES;
  for (let at = from; at + shortest <= size; at += SCAN_BYTES) {
    const block = await readAt(file, at, Math.min(SCAN_BYTES + RECORD_MAGIC.length - 1, size - at));
    for (let found = block.indexOf(RECORD_MAGIC); found >= 0; found = block.indexOf(RECORD_MAGIC, found + 1)) {
      if ((await recordAt(file, at + found, size, after)) !== undefined) return at + found;
    }
  }
  return undefined;
}

/** Reads up to `length` bytes; fewer only at the end of the file. */
export async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(bytes, filled, length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}
