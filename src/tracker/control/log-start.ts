import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { MiB } from "../../base/text/sizes.ts";
import type { LogStream } from "../../gen/belay/v1/job_pb.ts";
import type { ReadLogsRequest } from "../../gen/belay/v1/job_service_pb.ts";
import type { AttemptLog } from "../store/log/attempt-log.ts";
import { lineCount } from "../store/log/attempt-log.ts";
import type { PlacedChunk } from "../store/log/format.ts";
import { FILE_HEADER_BYTES } from "../store/log/format.ts";
import { afterNewline } from "../store/log/nth-line.ts";
import type { LogTotals } from "../store/log/totals.ts";
import { emptyTotals, sumsOf } from "../store/log/totals.ts";
import { check, invalid } from "./context.ts";
import { STREAMS } from "../../contract/log-sums.ts";

/** Bytes of a log's end that are read to check whether its lines are undamaged. */
const CHECKED_TAIL_BYTES: number = 4 * MiB;

/** Selects chunks. */
export interface LogFilter {
  readonly streams: readonly LogStream[];
  /** Empty: all. */
  readonly steps: ReadonlySet<number>;
}

/** Leaves out what comes before the start, chunk by chunk: all of a chunk (undefined), a part of it or nothing. */
export type Skip = (chunk: PlacedChunk) => PlacedChunk | undefined;

/** Where to begin to read, and how much to leave out from there. */
export interface LogStart {
  /** Totals of the log before the record that is read first. */
  readonly from: Readonly<LogTotals>;
  readonly skip: Skip;
}

/** Reads the filter of a request. */
export function filterOf(request: ReadLogsRequest): LogFilter {
  for (const stream of request.streams) {
    if (!STREAMS.includes(stream)) throw invalid(`streams has ${stream}: expected STDOUT, STDERR or AGENT`);
  }
  const streams = request.streams.length === 0 ? STREAMS : [...new Set(request.streams)];
  return { streams, steps: new Set(request.steps) };
}

/** Whether a filter selects a chunk. */
export function passes(filter: LogFilter, chunk: PlacedChunk): boolean {
  return filter.streams.includes(chunk.stream) && (filter.steps.size === 0 || filter.steps.has(chunk.step));
}

/** Finds where to begin. The index gives a place not far before it; the rest is left out while reading. */
export async function findStart(log: AttemptLog, request: ReadLogsRequest, filter: LogFilter): Promise<LogStart> {
  const { start } = request;
  switch (start.case) {
    case undefined:
      return { from: emptyTotals(FILE_HEADER_BYTES), skip: (chunk) => chunk };
    case "fromByte":
      return fromByte(log, Number(start.value), filter);
    case "fromLine":
      check(start.value === 0n ? "from_line is 0: expected 1 or more" : undefined);
      return fromLine(log, Number(start.value), filter);
    case "fromTime":
      return fromTime(log, toNano(start.value));
    case "tailLines":
      return tail(log, Number(start.value), filter);
    case "fromPosition":
      return fromPosition(log, Number(start.value));
  }
}

async function fromByte(log: AttemptLog, byte: number, filter: LogFilter): Promise<LogStart> {
  const [stream] = filter.streams;
  if (stream === undefined || filter.streams.length !== 1) {
    throw invalid("from_byte counts the bytes of one stream: expected exactly one in streams");
  }
  const from = await log.seek((totals) => (sumsOf(totals, stream)?.bytes ?? 0) <= byte);
  return { from, skip: (chunk) => cut(chunk, byte - chunk.offset) };
}

async function fromLine(log: AttemptLog, line: number, filter: LogFilter): Promise<LogStart> {
  return (await nearLine(log, line, filter)) ?? countedFromBeginning(line);
}

/**
 * Begins at a place not far before a line, by the index.
 *
 * @returns undefined if the index does not lead there: it knows streams, but not steps, and it counts lines that are
 * damaged by now
 */
async function nearLine(log: AttemptLog, line: number, filter: LogFilter): Promise<LogStart | undefined> {
  if (filter.steps.size > 0) return undefined;
  const wanted = line - 1;
  const from = await log.seek((totals) => lineCount(totals, filter.streams) < wanted);
  const missing = wanted - lineCount(from, filter.streams);
  const isThere = wanted <= lineCount(log.committed, filter.streams);
  if (isThere && !(await hasLines(log, from.position, missing, filter))) return undefined;
  return { from, skip: withoutLines(missing) };
}

function countedFromBeginning(line: number): LogStart {
  return { from: emptyTotals(FILE_HEADER_BYTES), skip: withoutLines(line - 1) };
}

/** Whether so many lines follow a position, with no damage before or among them. */
async function hasLines(log: AttemptLog, position: number, lines: number, filter: LogFilter): Promise<boolean> {
  let left = lines;
  if (left <= 0) return true;
  for await (const record of log.read(position, log.committed.position)) {
    if (record.skipped > 0) return false;
    for (const chunk of record.chunks) if (passes(filter, chunk)) left -= chunk.lines;
    if (left <= 0) return true;
  }
  return false;
}

/** Lines are counted over what is selected. */
function withoutLines(lines: number): Skip {
  let missing = lines;
  return (chunk) => {
    if (missing <= 0) return chunk;
    if (chunk.lines < missing) {
      missing -= chunk.lines;
      return undefined;
    }
    const at = afterNewline(chunk.data ?? new Uint8Array(), missing);
    missing = 0;
    return cut(chunk, at);
  };
}

async function fromTime(log: AttemptLog, time: bigint): Promise<LogStart> {
  const from = await log.seek((totals) => totals.maxTime < time);
  let reached = false;
  const skip: Skip = (chunk) => {
    reached ||= chunk.readUnixNano >= time;
    return reached ? chunk : undefined;
  };
  return { from, skip };
}

async function tail(log: AttemptLog, lines: number, filter: LogFilter): Promise<LogStart> {
  const end = log.committed.position;
  if (lines === 0) return fromPosition(log, end);
  // A last line without its newline is a line, too.
  const firstOf = ({ total, open }: { total: number; open: boolean }): number =>
    Math.max(1, total + (open ? 1 : 0) - lines + 1);
  const near = await nearLine(log, firstOf(totalLines(log, filter)), filter);
  if (near !== undefined && (await isWhole(log, near.from.position, end))) return near;
  return countedFromBeginning(firstOf(await countLines(log, end, filter)));
}

/** Whether the end of a log can be read. A long log is not checked: even damaged, it has many last lines. */
async function isWhole(log: AttemptLog, from: number, end: number): Promise<boolean> {
  if (end - from > CHECKED_TAIL_BYTES) return true;
  let intact = from;
  for await (const record of log.read(from, end)) {
    if (record.skipped > 0) return false;
    intact = record.end;
  }
  return intact === end;
}

function totalLines(log: AttemptLog, filter: LogFilter): { total: number; open: boolean } {
  const sums = filter.streams.flatMap((stream) => sumsOf(log.committed, stream) ?? []);
  const last = sums.reduce((a, b) => (b.lastPosition > a.lastPosition ? b : a));
  return { total: lineCount(log.committed, filter.streams), open: !last.endsWithNewline };
}

/** Reads the whole log. */
async function countLines(log: AttemptLog, end: number, filter: LogFilter): Promise<{ total: number; open: boolean }> {
  let total = 0;
  let open = false;
  for await (const record of log.read(FILE_HEADER_BYTES, end)) {
    for (const chunk of record.chunks) {
      if (!passes(filter, chunk) || chunk.data === undefined || chunk.data.byteLength === 0) continue;
      total += chunk.lines;
      open = chunk.data.at(-1) !== 0x0a;
    }
  }
  return { total, open };
}

async function fromPosition(log: AttemptLog, wanted: number): Promise<LogStart> {
  const end = log.committed.position;
  if (wanted > end && wanted > FILE_HEADER_BYTES) {
    throw invalid(`from_position is ${wanted}: the log ends at ${end}`);
  }
  const from = await log.seek((totals) => totals.position <= wanted);
  const skip: Skip = (chunk) => {
    if (chunk.position >= wanted) return chunk;
    return chunk.data === undefined ? undefined : cut(chunk, wanted - chunk.dataPosition);
  };
  return { from, skip };
}

/** A chunk without its first bytes. A gap is left out when it is wholly before, and else kept whole. */
function cut(chunk: PlacedChunk, bytes: number): PlacedChunk | undefined {
  if (bytes <= 0) return chunk;
  const { data } = chunk;
  if (data === undefined) return bytes >= (chunk.gap?.bytes ?? 0) ? undefined : chunk;
  if (bytes >= data.byteLength) return undefined;
  const rest = data.subarray(bytes);
  return { ...chunk, data: rest, offset: chunk.offset + bytes, dataPosition: chunk.dataPosition + bytes };
}

function toNano(time: Timestamp): bigint {
  return timestampMs(time) < 0 ? 0n : time.seconds * 1_000_000_000n + BigInt(time.nanos);
}
