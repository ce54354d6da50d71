import { create } from "@bufbuild/protobuf";
import { LogStream, type StreamTotals, StreamTotalsSchema } from "../gen/belay/v1/job_pb.ts";

/** The streams of a log, in the order in which their sums are stored. Other values come from a newer contract. */
export const STREAMS: readonly LogStream[] = [LogStream.STDOUT, LogStream.STDERR, LogStream.AGENT];

/** Sums over a range of one stream. Agent and tracker both keep them, and compare them when the log is complete. */
export interface StreamSums {
  /** Length of the range, gaps included. */
  bytes: number;
  /** Bytes of it that lie in gaps. */
  dropped: number;
  /** Newlines among the bytes outside gaps. */
  lines: number;
  /** CRC-32 of the bytes outside gaps, in order. */
  crc: number;
}

/** The sums of a stream as a message. */
export function totalsOf(stream: LogStream, { bytes, dropped, lines, crc }: StreamSums): StreamTotals {
  return create(StreamTotalsSchema, {
    stream,
    bytes: BigInt(bytes),
    lines: BigInt(lines),
    crc32: crc,
    droppedBytes: BigInt(dropped),
  });
}
