import { create } from "@bufbuild/protobuf";
import { LogStream, type StreamTotals, StreamTotalsSchema } from "../gen/belay/v1/job_pb.ts";

/** The streams of a log, in the order in which sums of all of them are kept. Others come from a newer contract. */
export const STREAMS: readonly LogStream[] = [LogStream.STDOUT, LogStream.STDERR, LogStream.AGENT];

/** What a stretch of one stream holds; both ends add it up, and compare it when the log is complete. */
export interface StreamSums {
  /** Gaps included. */
  bytes: number;
  /** Of them, in gaps. */
  dropped: number;
  /** Newlines among the bytes that are kept. */
  lines: number;
  /** CRC-32 of the bytes that are kept, in order. */
  crc: number;
}

/** As the contract has them. */
export function totalsOf(stream: LogStream, { bytes, dropped, lines, crc }: StreamSums): StreamTotals {
  return create(StreamTotalsSchema, {
    stream,
    bytes: BigInt(bytes),
    lines: BigInt(lines),
    crc32: crc,
    droppedBytes: BigInt(dropped),
  });
}
