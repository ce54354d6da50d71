import { combine } from "../../../base/crc32.ts";
import type { StreamTotals } from "../../../gen/belay/v1/job_pb.ts";
import type { LogStream } from "../../../gen/belay/v1/job_pb.ts";
import type { StoredChunk } from "./format.ts";
import { STREAMS, type StreamSums, totalsOf } from "../../../contract/log-sums.ts";

/** Sums over one stream up to some position. */
export interface StoredSums extends StreamSums {
  /** Where its last chunk of data begins. 0: it has none. */
  lastPosition: number;
  /** Whether its last byte was a newline. */
  endsWithNewline: boolean;
}

/** Totals of a log up to some position. */
export interface LogTotals {
  /** Of the last record. 0: none. */
  sequence: number;
  /** Where the next record goes. */
  position: number;
  /** Latest time of a read. */
  maxTime: bigint;
  /** In the order of STREAMS. */
  readonly streams: readonly [StoredSums, StoredSums, StoredSums];
}

/** The totals of a log without records. */
export function emptyTotals(position: number): LogTotals {
  return { sequence: 0, position, maxTime: 0n, streams: [emptySums(), emptySums(), emptySums()] };
}

function emptySums(): StoredSums {
  return { bytes: 0, lines: 0, dropped: 0, crc: 0, lastPosition: 0, endsWithNewline: true };
}

/** A copy that no longer changes with the original. */
export function copyTotals(totals: LogTotals): LogTotals {
  const [a, b, c] = totals.streams;
  return { ...totals, streams: [{ ...a }, { ...b }, { ...c }] };
}

/** The sums of one stream. Undefined: a stream we do not know. */
export function sumsOf(totals: LogTotals, stream: LogStream): StoredSums | undefined {
  return totals.streams[stream - 1];
}

/**
 * Takes a chunk into the totals. A hole before it, which only damage leaves in a log, counts as dropped.
 *
 * @param position where its header or its data begins
 * @returns bytes of the hole
 */
export function addChunk(totals: LogTotals, chunk: StoredChunk, position: number): number {
  const sums = sumsOf(totals, chunk.stream);
  if (sums === undefined) return 0;
  const hole = addHole(sums, chunk.offset);
  if (chunk.readUnixNano > totals.maxTime) totals.maxTime = chunk.readUnixNano;
  if (chunk.gap !== undefined) {
    sums.bytes += chunk.gap.bytes;
    sums.dropped += chunk.gap.bytes;
  } else if (chunk.data !== undefined && chunk.data.byteLength > 0) {
    sums.bytes += chunk.data.byteLength;
    sums.lines += chunk.lines;
    sums.crc = combine(sums.crc, chunk.crc, chunk.data.byteLength);
    sums.lastPosition = position;
    sums.endsWithNewline = chunk.data.at(-1) === 0x0a;
  }
  return hole;
}

/** Takes it into the sums that the bytes up to an offset are missing. @returns how many these are */
export function addHole(sums: StreamSums, offset: number): number {
  const missing = Math.max(0, offset - sums.bytes);
  sums.bytes += missing;
  sums.dropped += missing;
  return missing;
}

/** As the contract has them; streams without a byte are left out. */
export function streamTotals(totals: LogTotals): StreamTotals[] {
  return STREAMS.flatMap((stream) => {
    const sums = sumsOf(totals, stream);
    return sums === undefined || sums.bytes === 0 ? [] : [totalsOf(stream, sums)];
  });
}
