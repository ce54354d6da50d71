import type { FileHandle } from "node:fs/promises";
import { open, rename } from "node:fs/promises";
import { GapReason } from "../../../gen/belay/v1/tracker_service_pb.ts";
import type { PlacedChunk, StoredChunk } from "../log/format.ts";
import { FILE_HEADER_BYTES, encodeFileHeader, encodeRecord, isFileHeader } from "../log/format.ts";
import { nextRecord, readAt, recordAt } from "../log/scan.ts";
import type { LogTotals } from "../log/totals.ts";
import { STREAMS, addChunk, emptyTotals } from "../log/totals.ts";

/** What the file of a log was found to hold. */
export interface CheckedLog {
  /** Of the records that can be read. */
  readonly totals: LogTotals;
  /** Offset behind the last byte of each stream, in the order of STREAMS, whatever is damaged before it. */
  readonly ends: readonly number[];
  /** Bytes after the last whole record: a write that was under way when the tracker died. */
  readonly torn: number;
  /** Stretches that are no records, with records after them. */
  readonly damaged: readonly { readonly from: number; readonly to: number }[];
  /** False: it does not begin as our files do. */
  readonly isLog: boolean;
}

/**
 * Reads a log from end to end, every checksum included, beyond what is damaged.
 *
 * @param each is given the chunks of each record that can be read
 */
export async function checkLog(
  file: FileHandle,
  each: (sequence: number, chunks: readonly PlacedChunk[]) => Promise<void> = () => Promise.resolve(),
): Promise<CheckedLog> {
  const { size } = await file.stat();
  const header = await readAt(file, 0, Math.min(size, FILE_HEADER_BYTES));
  const totals = emptyTotals(FILE_HEADER_BYTES);
  // A tracker that died before the header was whole has never acknowledged anything.
  const ends = STREAMS.map(() => 0);
  if (size < FILE_HEADER_BYTES) return { totals, ends, torn: size, damaged: [], isLog: true };
  const damaged: { from: number; to: number }[] = [];
  let position = FILE_HEADER_BYTES;
  let torn = 0;
  while (position < size) {
    const record = await recordAt(file, position, size, totals.sequence);
    if (record !== undefined) {
      for (const chunk of record.chunks) {
        addChunk(totals, chunk, chunk.position);
        ends[chunk.stream - 1] = chunk.offset + (chunk.gap?.bytes ?? chunk.data?.byteLength ?? 0);
      }
      totals.sequence = record.sequence;
      await each(record.sequence, record.chunks);
      position = totals.position = record.end;
      continue;
    }
    const next = await nextRecord(file, position + 1, size, totals.sequence);
    if (next === undefined) {
      torn = size - position;
      break;
    }
    damaged.push({ from: position, to: next });
    position = next;
  }
  return { totals, ends, torn, damaged, isLog: isFileHeader(header) };
}

/**
 * Writes a log anew with all that can still be read; what is missing in between becomes a gap. The damaged file is
 * kept beside it, with `.damaged` after its name.
 */
export async function rewriteLog(path: string, attempt: number): Promise<void> {
  const source = await open(path, "r");
  const target = await open(`${path}.repaired`, "w", 0o640);
  try {
    await target.write(encodeFileHeader(attempt));
    const next = STREAMS.map(() => 0);
    await checkLog(source, async (sequence, chunks) => {
      const whole: StoredChunk[] = [];
      for (const chunk of chunks) {
        const expected = next[chunk.stream - 1] ?? 0;
        if (chunk.offset > expected) {
          const gap = { bytes: chunk.offset - expected, reason: GapReason.UNSPECIFIED };
          whole.push({ ...chunk, offset: expected, lines: 0, crc: 0, data: undefined, gap });
        }
        whole.push(chunk);
        next[chunk.stream - 1] = chunk.offset + (chunk.gap?.bytes ?? chunk.data?.byteLength ?? 0);
      }
      for (const piece of encodeRecord(sequence, whole)) await target.write(piece);
    });
    await target.sync();
  } finally {
    await source.close();
    await target.close();
  }
  await rename(path, `${path}.damaged`);
  await rename(`${path}.repaired`, path);
}
