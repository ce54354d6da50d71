import type { FileHandle } from "node:fs/promises";
import { open, rename } from "node:fs/promises";
import { errnoOf } from "../../../base/errors.ts";
import type { LogStream, StreamTotals } from "../../../gen/belay/v1/job_pb.ts";
import { GapReason } from "../../../gen/belay/v1/tracker_service_pb.ts";
import type { StoredChunk } from "../log/format.ts";
import { FILE_HEADER_BYTES, encodeFileHeader, encodeRecord, ownerOfFile } from "../log/format.ts";
import { ENTRY_BYTES, readEntry } from "../log/index-file.ts";
import type { LogOwner } from "../log/owner.ts";
import { readRecords } from "../log/records.ts";
import type { Damage } from "../log/recover.ts";
import { lastWholeEntry } from "../log/recover.ts";
import type { LogTotals } from "../log/totals.ts";
import { addChunk, emptyTotals, streamTotals, sumsOf } from "../log/totals.ts";
import { STREAMS } from "../../../contract/log-sums.ts";

/** What the file of a log was found to hold. */
export interface CheckedLog {
  /** Of the records that can be read; what is damaged between them counts as dropped. */
  readonly totals: LogTotals;
  /** Bytes after the last whole record. */
  readonly torn: number;
  /** Stretches that are no records, with records after them. Empty ones: bytes were taken out there. */
  readonly damaged: readonly Damage[];
  readonly owner: "own" | "other" | "damaged";
}

/** Reads a log from end to end, every checksum included, over what is damaged. */
export async function checkLog(file: FileHandle, owner: LogOwner): Promise<CheckedLog> {
  const { size } = await file.stat();
  const header = Buffer.alloc(Math.min(size, FILE_HEADER_BYTES));
  await file.read(header, 0, header.length, 0);
  const totals = emptyTotals(FILE_HEADER_BYTES);
  // A tracker that died before the header was whole has never acknowledged anything.
  if (size < FILE_HEADER_BYTES) return { totals, torn: size, damaged: [], owner: "own" };
  const damaged: Damage[] = [];
  for await (const record of readRecords(file, owner, FILE_HEADER_BYTES, size)) {
    const holes = record.chunks.reduce((sum, chunk) => sum + addChunk(totals, chunk, chunk.position), 0);
    if (record.skipped > 0 || holes > 0) damaged.push({ from: totals.position, to: record.position });
    totals.sequence = record.sequence;
    totals.position = record.end;
  }
  return { totals, torn: size - totals.position, damaged, owner: ownerOfFile(header, owner) };
}

/** What a log's index says, which is written after the log. */
export interface CheckedIndex {
  /** How far the log was once written. Undefined: it does not say. */
  readonly lastEntry: LogTotals | undefined;
  /** Whether an entry of it cannot be read. */
  readonly isDamaged: boolean;
}

export async function checkIndex(path: string, owner: LogOwner): Promise<CheckedIndex> {
  let index: FileHandle;
  try {
    index = await open(path, "r");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return { lastEntry: undefined, isDamaged: false };
    throw error;
  }
  try {
    const lastEntry = await lastWholeEntry(index, owner);
    const entries = Math.floor((await index.stat()).size / ENTRY_BYTES);
    for (let i = 0; i < entries; i++) {
      if ((await readEntry(index, owner, i)) === undefined) return { lastEntry, isDamaged: true };
    }
    return { lastEntry, isDamaged: false };
  } finally {
    await index.close();
  }
}

/**
 * Writes a log again with all that can still be read; what is missing in between, or at the end, becomes a gap. A
 * damaged file is kept beside it, with `.damaged` after its name.
 *
 * @param stored what the new log must account for, as bytes or as gaps
 * @returns what is in the new log
 */
export async function rewriteLog(
  path: string,
  owner: LogOwner,
  stored: readonly StreamTotals[],
): Promise<StreamTotals[]> {
  const source = await openSource(path);
  const target = await open(`${path}.repaired`, "w", 0o600);
  const totals = emptyTotals(FILE_HEADER_BYTES);
  try {
    await target.write(encodeFileHeader(owner));
    const put = async (sequence: number, chunks: readonly StoredChunk[]): Promise<void> => {
      for (const piece of encodeRecord(owner, sequence, chunks)) await target.write(piece);
      for (const chunk of chunks) addChunk(totals, chunk, 0);
      totals.sequence = sequence;
    };
    if (source !== undefined) {
      const { size } = await source.stat();
      for await (const { sequence, chunks } of readRecords(source, owner, FILE_HEADER_BYTES, size)) {
        const whole: StoredChunk[] = [];
        const next = totals.streams.map(({ bytes }) => bytes);
        for (const chunk of chunks) {
          const expected = next[chunk.stream - 1] ?? chunk.offset;
          if (chunk.offset > expected) whole.push(gap(chunk, expected, chunk.offset));
          whole.push(chunk);
          next[chunk.stream - 1] = chunk.offset + (chunk.gap?.bytes ?? chunk.data?.byteLength ?? 0);
        }
        await put(sequence, whole);
      }
    }
    const rest = STREAMS.flatMap((stream) => {
      const from = sumsOf(totals, stream)?.bytes ?? 0;
      const to = Number(stored.find((total) => total.stream === stream)?.bytes ?? 0n);
      return to > from ? [gap({ stream, step: 0, readUnixNano: totals.maxTime }, from, to)] : [];
    });
    if (rest.length > 0) await put(totals.sequence + 1, rest);
    await target.sync();
  } finally {
    await source?.close();
    await target.close();
  }
  if (source !== undefined) await rename(path, `${path}.damaged`);
  await rename(`${path}.repaired`, path);
  return streamTotals(totals);
}

/** Undefined: the file does not exist. */
async function openSource(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, "r");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

function gap(like: Pick<StoredChunk, "stream" | "step" | "readUnixNano">, from: number, to: number): StoredChunk {
  const { stream, step, readUnixNano } = like;
  const missing = { bytes: to - from, reason: GapReason.LOG_DAMAGED };
  return { stream, step, readUnixNano, offset: from, lines: 0, crc: 0, data: undefined, gap: missing };
}

/** What a log lacks of what was stored, by stream. */
export function shortfall(stored: readonly StreamTotals[], found: LogTotals): { stream: LogStream; bytes: bigint }[] {
  return stored.flatMap(({ stream, bytes }) => {
    const missing = bytes - BigInt(sumsOf(found, stream)?.bytes ?? 0);
    return missing > 0n ? [{ stream, bytes: missing }] : [];
  });
}
