import { crc32 } from "../../../base/crc32.ts";
import { countNewlines } from "../../../base/text/newlines.ts";
import type { LogBatch, LogChunk } from "../../../gen/belay/v1/tracker_service_pb.ts";
import { GapReason } from "../../../gen/belay/v1/tracker_service_pb.ts";
import type { StoredChunk } from "./format.ts";
import type { LogTotals } from "./totals.ts";
import { sumsOf } from "./totals.ts";
import { streamName } from "../../../contract/names.ts";
import { STREAMS } from "../../../contract/log-sums.ts";

/** Most chunks in a batch: each costs 40 bytes on disk, however small it is. */
const MAX_CHUNKS = 65_536;

/**
 * Checks the chunks of a batch against what is stored and makes them ready to be stored. A hole between what is stored
 * and a chunk's offset becomes a gap: better a log that says what is missing than none. Streams and contents that we
 * do not know are left out. Data of a log that is at its limit becomes a gap, too.
 *
 * @param limit bytes of output that are stored; 0: all
 * @returns the chunks, or what is wrong with them
 */
export function acceptChunks(batch: LogBatch, totals: Readonly<LogTotals>, limit = 0): StoredChunk[] | string {
  if (batch.chunks.length > MAX_CHUNKS) return `${batch.chunks.length} chunks: at most ${MAX_CHUNKS} are accepted`;
  const next = STREAMS.map((stream) => sumsOf(totals, stream)?.bytes ?? 0);
  const taken: StoredChunk[] = [];
  let kept = limit === 0 ? 0 : totals.streams.reduce((sum, { bytes, dropped }) => sum + bytes - dropped, 0);
  for (const chunk of batch.chunks) {
    const expected = next[chunk.stream - 1];
    if (expected === undefined || chunk.content.case === undefined) continue;
    const offset = Number(chunk.offset);
    const stored = acceptChunk(chunk, offset);
    const end = offset + (stored.gap?.bytes ?? stored.data?.byteLength ?? 0);
    const name = streamName(chunk.stream);
    if (offset < expected) return `a chunk of ${name} at offset ${offset}: the next byte has offset ${expected}`;
    if (!Number.isSafeInteger(end)) return `a chunk of ${name} that ends at offset ${end}: that is beyond 2^53`;
    if (offset > expected) taken.push(hole(stored, expected, offset - expected));
    kept += stored.data?.byteLength ?? 0;
    taken.push(limit > 0 && kept > limit ? cut(stored) : stored);
    next[chunk.stream - 1] = end;
  }
  return taken;
}

function acceptChunk(chunk: LogChunk, offset: number): StoredChunk {
  const { content } = chunk;
  const data = content.case === "data" ? content.value : undefined;
  const gap = content.case === "gap" ? { bytes: Number(content.value.bytes), reason: content.value.reason } : undefined;
  const { stream, step, readUnixNano } = chunk;
  const lines = data === undefined ? 0 : countNewlines(data);
  const crc = data === undefined ? 0 : crc32(data);
  return { stream, step, offset, readUnixNano, data, gap, lines, crc };
}

/** A chunk for which there is no room any more. */
function cut(chunk: StoredChunk): StoredChunk {
  if (chunk.data === undefined) return chunk;
  return {
    ...hole(chunk, chunk.offset, chunk.data.byteLength),
    gap: { bytes: chunk.data.byteLength, reason: GapReason.LOG_LIMIT },
  };
}

function hole(before: StoredChunk, offset: number, bytes: number): StoredChunk {
  return { ...before, offset, lines: 0, crc: 0, data: undefined, gap: { bytes, reason: GapReason.UNSPECIFIED } };
}
