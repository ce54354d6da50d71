import { crc32 } from "../base/crc32.ts";
import { type StreamSums, totalsOf } from "../contract/log-sums.ts";
import { LogStream, type StreamTotals } from "../gen/belay/v1/job_pb.ts";

/** Sums over the output that a scripted agent has printed so far, for its job's result. */
export class Printed {
  private sums = new Map<LogStream, StreamSums>();

  /** Counts a piece. @returns the offset at which it begins */
  add(stream: LogStream, data: Uint8Array): bigint {
    const { bytes, dropped, lines, crc } = this.sums.get(stream) ?? { bytes: 0, dropped: 0, lines: 0, crc: 0 };
    this.sums.set(stream, {
      bytes: bytes + data.length,
      dropped,
      lines: lines + data.reduce((count, byte) => count + (byte === 0x0a ? 1 : 0), 0),
      crc: crc32(data, crc),
    });
    return BigInt(bytes);
  }

  /** Takes over the sums of another agent. */
  copy(other: Printed): void {
    this.sums = new Map(other.sums);
  }

  /** Sets the sums of standard output to those of a text. */
  replace(text: string): void {
    this.sums.delete(LogStream.STDOUT);
    this.add(LogStream.STDOUT, new TextEncoder().encode(text));
  }

  totals(): StreamTotals[] {
    return [...this.sums].map(([stream, sums]) => totalsOf(stream, sums));
  }
}
