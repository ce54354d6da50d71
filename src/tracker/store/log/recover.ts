import type { FileHandle } from "node:fs/promises";
import { copyFile } from "node:fs/promises";
import { BelayError } from "../../../base/errors.ts";
import { KiB } from "../../../base/text/sizes.ts";
import type { StreamTotals } from "../../../gen/belay/v1/job_pb.ts";
import { FILE_HEADER_BYTES, encodeFileHeader, ownerOfFile } from "./format.ts";
import { ENTRY_BYTES, encodeEntry, readEntry } from "./index-file.ts";
import type { LogOwner } from "./owner.ts";
import { readRecords } from "./records.ts";
import type { LogTotals } from "./totals.ts";
import { addChunk, addHole, emptyTotals, sumsOf } from "./totals.ts";

/** Distance between two entries of the index: the most that a reader reads for nothing. */
export const INDEX_INTERVAL_BYTES: number = 256 * KiB;

/** A stretch of a log's file that cannot be read. */
export interface Damage {
  readonly from: number;
  /** Equal to `from`: the file ends too early, or bytes were taken out. */
  readonly to: number;
}

/** What was found in the files of a log. */
export interface Recovered {
  /** At the end of what is there; what is damaged counts as dropped. */
  readonly totals: LogTotals;
  /** Entries in the index. */
  readonly entries: number;
  /** Bytes after the last whole record, which were cut off. */
  readonly torn: number;
  readonly damaged: readonly Damage[];
}

/**
 * Finds out what is committed: starts at the last entry of the index that agrees with the log, reads on from there
 * past any damage, and completes the index. Bytes at the end that are not a record are cut off, unless they were
 * acknowledged and the log is closed: then they stay, as damage.
 *
 * @param stored what the database says was stored, of a log that is not written any more; undefined: it may be
 * @throws BelayError `STORE` if the file is not a log, is another job's, or nothing of what was stored can be read
 */
export async function recover(
  path: string,
  files: { readonly log: FileHandle; readonly index: FileHandle },
  owner: LogOwner,
  stored: readonly StreamTotals[] | undefined,
): Promise<Recovered> {
  const { log, index } = files;
  const { size } = await log.stat();
  const whose = ownerOfFile(await readHeader(log), owner);
  if (whose === "other") {
    throw new BelayError("STORE", `Cannot use the log "${path}": it is the log of another job`);
  }
  const lastEntry = await lastWholeEntry(index, owner);
  if (size < FILE_HEADER_BYTES && (lastEntry?.sequence ?? 0) === 0 && !isMissing(stored, emptyTotals(0))) {
    // The tracker died before the header was whole, so nothing was ever acknowledged.
    await log.truncate(0);
    await index.truncate(0);
    return { totals: emptyTotals(FILE_HEADER_BYTES), entries: 0, torn: size, damaged: [] };
  }
  const start =
    whose === "own"
      ? await trustedEntry(log, index, owner, size)
      : { totals: emptyTotals(FILE_HEADER_BYTES), entries: 0 };
  const { totals } = start;
  const damaged: Damage[] = whose === "own" ? [] : [{ from: 0, to: FILE_HEADER_BYTES }];
  let { entries } = start;
  let indexed = totals.position;
  const put = async (): Promise<void> => {
    // A missing entry only makes reading slower: a full disk must not stop readers.
    const entry = encodeEntry(owner, totals);
    const written = await index.write(entry, 0, ENTRY_BYTES, entries * ENTRY_BYTES).catch(() => undefined);
    if (written?.bytesWritten === ENTRY_BYTES) entries++;
  };
  const before = totals.sequence;
  for await (const record of readRecords(log, owner, totals.position, size)) {
    if (record.sequence <= totals.sequence) break;
    if (record.position - indexed >= INDEX_INTERVAL_BYTES) {
      await put();
      indexed = record.position;
    }
    const holes = record.chunks.reduce((sum, chunk) => sum + addChunk(totals, chunk, chunk.position), 0);
    if (record.skipped > 0 || holes > 0) damaged.push({ from: totals.position, to: record.position });
    totals.sequence = record.sequence;
    totals.position = record.end;
  }
  if (whose === "damaged" && totals.sequence === before) {
    throw new BelayError("STORE", `Cannot read the log "${path}": nothing in it is a log of version 1 or 2`);
  }
  const end = totals.position;
  const lost = isMissing(stored, totals);
  const torn = lost ? 0 : Math.max(0, size - end);
  if (lost) {
    for (const { stream, bytes } of stored ?? []) {
      const sums = sumsOf(totals, stream);
      if (sums !== undefined) addHole(sums, Number(bytes));
    }
    totals.position = Math.max(size, end);
    damaged.push({ from: end, to: totals.position });
  } else if (stored === undefined && lastEntry !== undefined && lastEntry.sequence > totals.sequence) {
    // Acknowledged bytes are gone. The agent says where it can continue; what it no longer has becomes a gap.
    damaged.push({ from: end, to: Math.max(size, end) });
    if (torn > 0) await copyFile(path, `${path}.damaged`);
  }
  if (torn > 0) await log.truncate(end);
  // Its records name the owner. A closed log stays as it is, so that people can examine it.
  if (whose === "damaged" && stored === undefined) await log.write(encodeFileHeader(owner), 0, null, 0);
  if (damaged.length > 0) await put();
  await index.truncate(entries * ENTRY_BYTES);
  return { totals, entries, torn, damaged };
}

async function readHeader(log: FileHandle): Promise<Buffer> {
  const header = Buffer.alloc(FILE_HEADER_BYTES);
  const { bytesRead } = await log.read(header, 0, FILE_HEADER_BYTES, 0);
  return header.subarray(0, bytesRead);
}

/** Whether the totals lack bytes that were stored. */
function isMissing(stored: readonly StreamTotals[] | undefined, totals: LogTotals): boolean {
  return stored?.some(({ stream, bytes }) => bytes > BigInt(sumsOf(totals, stream)?.bytes ?? 0)) ?? false;
}

/** The last entry that is whole: what it speaks of was written once, whatever the log holds now. */
export async function lastWholeEntry(index: FileHandle, owner: LogOwner): Promise<LogTotals | undefined> {
  for (let entries = Math.floor((await index.stat()).size / ENTRY_BYTES); entries > 0; entries--) {
    const totals = await readEntry(index, owner, entries - 1);
    if (totals !== undefined) return totals;
  }
  return undefined;
}

/** The last entry at which a whole record begins or the log ends. */
async function trustedEntry(
  log: FileHandle,
  index: FileHandle,
  owner: LogOwner,
  size: number,
): Promise<{ totals: LogTotals; entries: number }> {
  const count = Math.floor((await index.stat()).size / ENTRY_BYTES);
  for (let entries = count; entries > 0; entries--) {
    const totals = await readEntry(index, owner, entries - 1);
    if (totals === undefined || totals.position > size) continue;
    if (totals.position === size || (await hasRecordAt(log, owner, totals, size))) return { totals, entries };
  }
  return { totals: emptyTotals(FILE_HEADER_BYTES), entries: 0 };
}

async function hasRecordAt(log: FileHandle, owner: LogOwner, totals: LogTotals, size: number): Promise<boolean> {
  for await (const record of readRecords(log, owner, totals.position, size)) {
    return record.skipped === 0 && record.sequence > totals.sequence;
  }
  return false;
}
