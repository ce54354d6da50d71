import type { Clock, Timer } from "../../base/clock.ts";
import type { LogStream, StreamTotals } from "../../gen/belay/v1/job_pb.ts";
import type { GapReason } from "../../gen/belay/v1/tracker_service_pb.ts";
import { FrameWriter, type SlabPool } from "./frame.ts";
import { addData, addGap, type LogSums, noSums, streamTotals, sumsOf } from "./log-sums.ts";
import type { Spool } from "./spool.ts";

/** A batch waits no longer than this for more bytes, counted from its first. Milliseconds. */
const FLUSH_AFTER = 50;

/**
 * Makes the lane of logs: collects what the job prints in batches.
 *
 * A batch closes when it is full, or 50 ms after its first byte; at once if nothing was sent in the 50 ms before, so
 * that a line printed after a silence is seen without delay. Bytes keep their order, and each is in exactly one
 * batch.
 */
export class LogLane {
  private readonly spool: Spool;
  private readonly clock: Clock;
  private readonly writer: FrameWriter;
  /** Of all bytes, whether they were dropped later or not. */
  private readonly produced: LogSums = noSums();
  private timer: Timer | undefined;
  private lastFlush = Number.NEGATIVE_INFINITY;

  constructor(spool: Spool, pool: SlabPool, clock: Clock) {
    this.spool = spool;
    this.clock = clock;
    this.writer = new FrameWriter(pool, !spool.stages);
  }

  /**
   * Copies all of the bytes. When it returns, the spool has them: on disk, if the spool is on disk.
   *
   * @returns false when the spool is full: the job should wait until it has room
   */
  append(stream: LogStream, step: number, data: Uint8Array, readUnixNano: bigint): boolean {
    const sums = sumsOf(this.produced, stream);
    for (let rest = data; rest.length > 0; ) {
      const taken = this.writer.append(stream, step, sums.bytes, readUnixNano, rest);
      addData(sums, taken === rest.length ? rest : rest.subarray(0, taken));
      rest = taken === rest.length ? EMPTY : rest.subarray(taken);
      if (rest.length > 0 || this.writer.isFull) this.flush();
    }
    if (!this.writer.isEmpty && this.timer === undefined) this.schedule();
    if (!this.writer.isEmpty) this.spool.stage(this.writer.body);
    return !this.spool.full;
  }

  /** Records that bytes are missing here. */
  gap(stream: LogStream, step: number, bytes: number, reason: GapReason, readUnixNano: bigint): void {
    if (this.writer.isFull) this.flush();
    const sums = sumsOf(this.produced, stream);
    this.writer.appendGap(stream, step, sums.bytes, readUnixNano, bytes, reason);
    addGap(sums, bytes);
    this.flush();
  }

  /** Closes the open batch, if there is one. */
  flush(): void {
    this.timer?.cancel();
    this.timer = undefined;
    if (this.writer.isEmpty) return;
    this.lastFlush = this.clock.monotonic();
    this.spool.push("logs", this.writer.seal(this.spool.nextSequence("logs")), { produced: this.produced });
  }

  /** What each stream has carried so far, less what was dropped. */
  totals(): StreamTotals[] {
    return streamTotals(this.spool.kept(this.produced));
  }

  private schedule(): void {
    const silence = this.clock.monotonic() - this.lastFlush;
    if (silence >= FLUSH_AFTER) this.flush();
    else this.timer = this.clock.after(FLUSH_AFTER, () => this.flush());
  }
}

const EMPTY = new Uint8Array(0);
