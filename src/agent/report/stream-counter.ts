import { crc32 } from "node:zlib";
import { create } from "@bufbuild/protobuf";
import { countNewlines } from "../../base/newlines.ts";
import { type LogStream, type StreamTotals, StreamTotalsSchema } from "../../gen/belay/v1/job_pb.ts";

/** Counts what one log stream has carried: what the result tells the tracker to compare. */
export class StreamCounter {
  readonly stream: LogStream;
  /** Bytes produced so far, gaps included: the offset of the next byte. */
  bytes = 0;
  private lines = 0;
  private crc = 0;
  private dropped = 0;

  constructor(stream: LogStream) {
    this.stream = stream;
  }

  add(data: Uint8Array): void {
    this.bytes += data.length;
    this.lines += countNewlines(data);
    this.crc = crc32(data, this.crc);
  }

  drop(bytes: number): void {
    this.bytes += bytes;
    this.dropped += bytes;
  }

  totals(): StreamTotals {
    return create(StreamTotalsSchema, {
      stream: this.stream,
      bytes: BigInt(this.bytes),
      lines: BigInt(this.lines),
      crc32: this.crc,
      droppedBytes: BigInt(this.dropped),
    });
  }
}
