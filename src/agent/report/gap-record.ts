import { create, toBinary } from "@bufbuild/protobuf";
import type { LogStream } from "../../gen/belay/v1/job_pb.ts";
import {
  EventSchema,
  type GapReason,
  LogBatchSchema,
  OpenSessionRequestSchema,
} from "../../gen/belay/v1/tracker_service_pb.ts";
import { chunksOf } from "./chunks.ts";
import { FrameWriter, SlabPool } from "./frame.ts";
import { type LogSums, sumsOf } from "./log-sums.ts";
import type { LaneName } from "./spool.ts";
import { STREAMS } from "../../contract/log-sums.ts";

/** Consecutive bytes of one stream that one step printed. */
export interface ByteRange {
  readonly stream: LogStream;
  readonly step: number;
  readonly offset: number;
  /** Of the first of them. */
  readonly readUnixNano: bigint;
  bytes: number;
}

/** Most gaps in one batch: each takes up to 40 bytes of the 64 KiB of a frame. */
const MAX_GAPS = 1000;

/** Adds a range to others, to the last of its stream where it continues that. */
export function addRange(ranges: ByteRange[], range: ByteRange): void {
  const last = ranges.findLast(({ stream }) => stream === range.stream);
  const adjacent = last !== undefined && last.offset + last.bytes === range.offset;
  if (last !== undefined && adjacent && (last.step === range.step || ranges.length >= MAX_GAPS))
    last.bytes += range.bytes;
  else if (range.bytes > 0) ranges.push({ ...range });
}

/** Adds what a frame of logs holds. */
export function addRangesOf(ranges: ByteRange[], body: Buffer): void {
  for (const { stream, step, offset, readUnixNano, bytes } of chunksOf(body)) {
    addRange(ranges, { stream, step, offset, readUnixNano, bytes });
  }
}

/** What lies between two positions of all streams, when nothing more is known of it. */
export function rangesBetween(from: LogSums, to: LogSums): ByteRange[] {
  return STREAMS.flatMap((stream) => {
    const offset = sumsOf(from, stream).bytes;
    const bytes = sumsOf(to, stream).bytes - offset;
    return bytes > 0 ? [{ stream, step: 0, offset, readUnixNano: 0n, bytes }] : [];
  });
}

/** The record that stands for the first of some lost records: a batch that says what is missing. */
export function gapFrame(sequence: number, ranges: readonly ByteRange[], reason: GapReason): Buffer {
  const writer = new FrameWriter(new SlabPool(), false);
  for (const { stream, step, offset, readUnixNano, bytes } of ranges) {
    if (writer.isFull) break;
    writer.appendGap(stream, step, offset, readUnixNano, bytes, reason);
  }
  return writer.isEmpty ? emptyFrame("logs", sequence) : writer.seal(sequence);
}

/** A record that brings nothing but its sequence: it stands for the others. */
export function emptyFrame(lane: LaneName, sequence: number): Buffer {
  const number = BigInt(sequence);
  const payload =
    lane === "logs"
      ? ({ case: "logBatch", value: create(LogBatchSchema, { sequence: number }) } as const)
      : ({ case: "event", value: create(EventSchema, { sequence: number }) } as const);
  return Buffer.from(toBinary(OpenSessionRequestSchema, create(OpenSessionRequestSchema, { payload })));
}
