import type { FileHandle } from "node:fs/promises";
import { copyFile } from "node:fs/promises";
import { BelayError } from "../../../base/errors.ts";
import { KiB } from "../../../base/sizes.ts";
import { FILE_HEADER_BYTES, isFileHeader } from "./format.ts";
import { ENTRY_BYTES, encodeEntry, readEntry } from "./index-file.ts";
import { readRecords } from "./records.ts";
import { nextRecord } from "./scan.ts";
import type { LogTotals } from "./totals.ts";
import { addChunk, emptyTotals } from "./totals.ts";

/** Distance between two entries of the index: what a reader reads at most in vain. */
export const INDEX_INTERVAL_BYTES: number = 256 * KiB;

/** What was found in the files of a log. */
export interface Recovered {
  /** At the end of the last whole record. */
  readonly totals: LogTotals;
  /** Entries in the index. */
  readonly entries: number;
  /** Bytes after the last whole record, which were cut off. */
  readonly torn: number;
}

/**
 * Finds out what is committed: takes the last entry of the index that agrees with the log, reads on from there, cuts
 * off what is no whole record, and completes the index. If whole records come after that, the log is kept as it was,
 * with `.damaged` after its name.
 *
 * @throws BelayError `STORE` if the file is none of ours
 */
export async function recover(path: string, log: FileHandle, index: FileHandle): Promise<Recovered> {
  const { size } = await log.stat();
  if (size < FILE_HEADER_BYTES) {
    // The tracker died before the header was whole, so nothing was ever acknowledged.
    await log.truncate(0);
    await index.truncate(0);
    return { totals: emptyTotals(FILE_HEADER_BYTES), entries: 0, torn: size };
  }
  const header = Buffer.alloc(FILE_HEADER_BYTES);
  await log.read(header, 0, FILE_HEADER_BYTES, 0);
  if (!isFileHeader(header)) {
    throw new BelayError("STORE", `Cannot read the log "${path}": it does not begin as a log of version 1 does`);
  }
  const start = await trustedEntry(log, index, size);
  const totals = start.totals;
  let entries = start.entries;
  let indexed = totals.position;
  for await (const record of readRecords(log, totals.position, size)) {
    if (record.sequence <= totals.sequence) break;
    if (record.position - indexed >= INDEX_INTERVAL_BYTES) {
      // A missing entry only makes reading slower: a full disk must not keep anybody from reading.
      const written = await index
        .write(encodeEntry(totals), 0, ENTRY_BYTES, entries * ENTRY_BYTES)
        .catch(() => undefined);
      if (written?.bytesWritten === ENTRY_BYTES) entries++;
      indexed = record.position;
    }
    for (const chunk of record.chunks) addChunk(totals, chunk, chunk.position);
    totals.sequence = record.sequence;
    totals.position = record.end;
  }
  const torn = size - totals.position;
  if (torn > 0) {
    // A process that dies leaves half a write at the end and nothing after it. What has records after it was damaged
    // otherwise, by a power cut or the disk: some of that may have been acknowledged, and can be looked at later.
    const after = await nextRecord(log, totals.position + 1, size, totals.sequence);
    if (after !== undefined) await copyFile(path, `${path}.damaged`);
    await log.truncate(totals.position);
  }
  await index.truncate(entries * ENTRY_BYTES);
  return { totals, entries, torn };
}

/** The last entry at which a whole record begins or the log ends. */
async function trustedEntry(
  log: FileHandle,
  index: FileHandle,
  size: number,
): Promise<{ totals: LogTotals; entries: number }> {
  const count = Math.floor((await index.stat()).size / ENTRY_BYTES);
  for (let entries = count; entries > 0; entries--) {
    const totals = await readEntry(index, entries - 1);
    if (totals === undefined || totals.position > size) continue;
    if (totals.position === size || (await hasRecordAt(log, totals, size))) return { totals, entries };
  }
  return { totals: emptyTotals(FILE_HEADER_BYTES), entries: 0 };
}

async function hasRecordAt(log: FileHandle, totals: LogTotals, size: number): Promise<boolean> {
  for await (const record of readRecords(log, totals.position, size)) return record.sequence > totals.sequence;
  return false;
}
