import type { JobResult, LogStream } from "../../../gen/belay/v1/job_pb.ts";
import { OpenSessionRequestSchema } from "../../../gen/belay/v1/tracker_service_pb.ts";
import { fromBinary } from "@bufbuild/protobuf";
import { chunkAt, chunksOf, frameBody } from "../chunks.ts";
import { headBytes, putHead } from "../frame.ts";
import { addData, addGap, type LogSums, noSums, sumsOf } from "../log-sums.ts";
import {
  decodeHeader,
  HEADER_BYTES,
  putRecordHead,
  RECORD_HEAD_BYTES,
  recordAt,
  type SegmentHeader,
} from "./format.ts";

/** What is in a segment's file. */
export interface SegmentScan {
  readonly header: SegmentHeader;
  /** Whole records, those that a stand-in stands for included. */
  count: number;
  /** Bytes of the file that are good. */
  end: number;
  /** What comes after `end`; `open` is a record that can be sealed. */
  tail: "nothing" | "open" | "bad";
  /** Of the logs in it. */
  readonly sums: LogSums;
  /** Where the streams begin in it, by stream. */
  readonly starts: Map<LogStream, number>;
  /** The record that stands for all, if it is a stand-in. */
  standIn: Buffer | undefined;
  /** The job's result, if it is among the records. */
  result: JobResult | undefined;
}

/**
 * Reads a segment's file through: what is whole, and what it holds.
 *
 * @param upTo sequence after which it stops
 * @returns undefined if not even its header is whole
 * @throws BelayError `SPOOL` if a newer program wrote it
 */
export function scanSegment(
  file: Buffer,
  path: string,
  upTo: number = Number.POSITIVE_INFINITY,
): SegmentScan | undefined {
  const header = decodeHeader(file, path);
  if (header === undefined) return undefined;
  const scan: SegmentScan = {
    header,
    count: 0,
    end: HEADER_BYTES,
    tail: "nothing",
    sums: noSums(),
    starts: new Map(),
    standIn: undefined,
    result: undefined,
  };
  while (scan.end < file.length && header.first + scan.count <= upTo) {
    const record = recordAt(file, scan.end);
    if (record.kind !== "record") {
      scan.tail = record.kind === "open" && header.lane === "logs" ? "open" : "bad";
      break;
    }
    if (header.lane === "logs") addBody(scan, frameBody(record.frame, header.first + scan.count));
    else scan.result ??= resultIn(record.frame);
    scan.end = record.end;
    scan.count++;
    if (header.standsFor > 0) {
      scan.count = header.standsFor;
      scan.standIn = Buffer.from(record.frame);
      break;
    }
  }
  return scan;
}

/**
 * Makes a record of an open one: of its whole chunks.
 *
 * @returns what stands before them, for writing at `scan.end`, and where the record ends; undefined if no chunk is whole
 */
export function sealOpen(file: Buffer, scan: SegmentScan): { head: Buffer; end: number } | undefined {
  const sequence = scan.header.first + scan.count;
  const before = headBytes(sequence);
  const bodyAt = scan.end + RECORD_HEAD_BYTES + before;
  const body = file.subarray(bodyAt);
  let length = 0;
  for (let chunk = chunkAt(body, 0); chunk !== undefined; chunk = chunkAt(body, length)) length = chunk.end;
  if (length === 0) return undefined;
  const record = Buffer.alloc(RECORD_HEAD_BYTES + before + length);
  const frame = record.subarray(RECORD_HEAD_BYTES);
  putHead(frame, 0, sequence, length);
  body.copy(frame, before, 0, length);
  putRecordHead(record, frame);
  addBody(scan, body.subarray(0, length));
  scan.count++;
  scan.end = bodyAt + length;
  scan.tail = "nothing";
  return { head: record.subarray(0, RECORD_HEAD_BYTES + before), end: scan.end };
}

function addBody({ sums, starts }: SegmentScan, body: Buffer): void {
  for (const { stream, offset, bytes, dataAt } of chunksOf(body)) {
    if (!starts.has(stream)) starts.set(stream, offset);
    const stretch = sumsOf(sums, stream);
    if (dataAt === undefined) addGap(stretch, bytes);
    else addData(stretch, body.subarray(dataAt, dataAt + bytes));
  }
}

function resultIn(frame: Buffer): JobResult | undefined {
  const { payload } = fromBinary(OpenSessionRequestSchema, frame);
  return payload.case === "event" && payload.value.kind.case === "result" ? payload.value.kind.value : undefined;
}
