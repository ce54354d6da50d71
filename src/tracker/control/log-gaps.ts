import { GapReason } from "../../gen/belay/v1/tracker_service_pb.ts";
import type { PlacedChunk } from "../store/log/format.ts";
import type { LogTotals } from "../store/log/totals.ts";
import { sumsOf } from "../store/log/totals.ts";
import { STREAMS } from "../../contract/log-sums.ts";

/**
 * Finds the parts of a log that damage has destroyed, while the log is read in order.
 *
 * Law: the chunks of a stream and the gaps found here together have no hole. In a whole log nothing is found, since
 * bytes that never arrived are stored as a gap.
 */
export class GapFinder {
  /** Offset behind the last byte of each stream, in the order of STREAMS. */
  private readonly next: number[];
  private readonly steps: number[] = STREAMS.map(() => 0);
  private damaged = false;

  /** @param from what comes before the first record */
  constructor(from: Readonly<LogTotals>) {
    this.next = from.streams.map(({ bytes }) => bytes);
  }

  /** Whether any damage was found so far. */
  get found(): boolean {
    return this.damaged;
  }

  /**
   * The gap before a chunk of the next record. Undefined: there is no gap.
   *
   * @param skipped bytes before the record that are no record
   */
  before(chunk: PlacedChunk, record: { position: number; skipped: number }): PlacedChunk | undefined {
    const at = chunk.stream - 1;
    const expected = this.next[at];
    if (expected === undefined) return undefined;
    this.next[at] = chunk.offset + (chunk.gap?.bytes ?? chunk.data?.byteLength ?? 0);
    this.steps[at] = chunk.step;
    return chunk.offset > expected
      ? this.gap(chunk, expected, chunk.offset, record.position - record.skipped, record.position)
      : undefined;
  }

  /** The gaps at the end of the streams. */
  *atEnd(end: Readonly<LogTotals>): Generator<PlacedChunk, void> {
    for (const [at, stream] of STREAMS.entries()) {
      const from = this.next[at] ?? 0;
      const to = sumsOf(end, stream)?.bytes ?? 0;
      if (to <= from) continue;
      this.next[at] = to;
      const like = { stream, step: this.steps[at] ?? 0, readUnixNano: end.maxTime };
      yield this.gap(like, from, to, end.position, end.position);
    }
  }

  private gap(
    like: Pick<PlacedChunk, "stream" | "step" | "readUnixNano">,
    from: number,
    to: number,
    position: number,
    dataPosition: number,
  ): PlacedChunk {
    this.damaged = true;
    const { stream, step, readUnixNano } = like;
    const gap = { bytes: to - from, reason: GapReason.LOG_DAMAGED };
    return { stream, step, readUnixNano, offset: from, lines: 0, crc: 0, data: undefined, gap, position, dataPosition };
  }
}
