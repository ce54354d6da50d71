import { combine, crc32, withoutFirst } from "../../base/crc32.ts";
import { countNewlines } from "../../base/text/newlines.ts";
import { LogStream, type StreamTotals } from "../../gen/belay/v1/job_pb.ts";
import { STREAMS, type StreamSums, totalsOf } from "../../contract/log-sums.ts";

/** Sums of the same part of all streams, in the order of STREAMS. */
export type LogSums = readonly [StreamSums, StreamSums, StreamSums];

/** The sums of no bytes. */
export function noSums(): LogSums {
  return [noStreamSums(), noStreamSums(), noStreamSums()];
}

function noStreamSums(): StreamSums {
  return { bytes: 0, dropped: 0, lines: 0, crc: 0 };
}

/** A copy that does not change with the original. */
export function copySums([a, b, c]: LogSums): LogSums {
  return [{ ...a }, { ...b }, { ...c }];
}

/** The sums of one stream. */
export function sumsOf(sums: LogSums, stream: LogStream): StreamSums {
  return sums[stream - 1] as StreamSums;
}

/** Adds bytes to a stream's sums. */
export function addData(sums: StreamSums, data: Uint8Array): void {
  sums.bytes += data.length;
  sums.lines += countNewlines(data);
  sums.crc = crc32(data, sums.crc);
}

/** Adds a gap to a stream's sums. */
export function addGap(sums: StreamSums, bytes: number): void {
  sums.bytes += bytes;
  sums.dropped += bytes;
}

/** Sums of two parts, the second right after the first. */
export function join(first: LogSums, second: LogSums): LogSums {
  return zip(first, second, (a, b) => ({
    bytes: a.bytes + b.bytes,
    dropped: a.dropped + b.dropped,
    lines: a.lines + b.lines,
    crc: combine(a.crc, b.crc, b.bytes - b.dropped),
  }));
}

/** Sums of the end of a part, from the sums of its beginning and of the whole. */
export function endOf(beginning: LogSums, whole: LogSums): LogSums {
  return zip(beginning, whole, (a, b) => {
    const bytes = b.bytes - a.bytes;
    const dropped = b.dropped - a.dropped;
    return { bytes, dropped, lines: b.lines - a.lines, crc: withoutFirst(a.crc, b.crc, bytes - dropped) };
  });
}

/** Sums of a part when all its bytes are dropped. */
export function allDropped(sums: LogSums): LogSums {
  return zip(sums, sums, ({ bytes }) => ({ bytes, dropped: bytes, lines: 0, crc: 0 }));
}

/** As the contract has them. The agent's own stream is left out if it has no byte. */
export function streamTotals(sums: LogSums): StreamTotals[] {
  return STREAMS.filter((stream) => stream !== LogStream.AGENT || sumsOf(sums, stream).bytes > 0).map((stream) =>
    totalsOf(stream, sumsOf(sums, stream)),
  );
}

function zip(a: LogSums, b: LogSums, each: (a: StreamSums, b: StreamSums) => StreamSums): LogSums {
  return [each(a[0], b[0]), each(a[1], b[1]), each(a[2], b[2])];
}

/** Makes sums equal to others. */
export function assignSums(target: LogSums, source: LogSums): void {
  for (const [index, sums] of source.entries()) Object.assign(target[index] as StreamSums, sums);
}
