import type { Clock, Timer } from "../../base/clock.ts";
import { LogStream, type StreamTotals } from "../../gen/belay/v1/job_pb.ts";
import { FrameWriter, type SlabPool } from "./frame.ts";
import type { Spool } from "./spool.ts";
import { StreamCounter } from "./stream-counter.ts";

/** A batch waits no longer than this for more bytes, counted from its first. Milliseconds. */
const FLUSH_AFTER = 50;

/**
 * Makes the lane of logs: gathers what the job prints into batches.
 *
 * A batch closes when it is full, or 50 ms after its first byte; at once if nothing was sent in the 50 ms before, so
 * that a line printed after a silence is seen without delay. Bytes keep their order, and every byte taken is in exactly
 * one batch.
 */
export class LogLane {
  private readonly spool: Spool;
  private readonly clock: Clock;
  private readonly writer: FrameWriter;
  private readonly counters = new Map<LogStream, StreamCounter>();
  private timer: Timer | undefined;
  private lastFlush = Number.NEGATIVE_INFINITY;

  constructor(spool: Spool, pool: SlabPool, clock: Clock) {
    this.spool = spool;
    this.clock = clock;
    this.writer = new FrameWriter(pool);
    for (const stream of [LogStream.STDOUT, LogStream.STDERR]) this.counter(stream);
  }

  /**
   * Takes bytes, all of them; they are copied.
   *
   * @returns false when the spool is full: whoever produces should wait until it has room
   */
  append(stream: LogStream, step: number, data: Uint8Array, readUnixNano: bigint): boolean {
    const counter = this.counter(stream);
    let offset = counter.bytes;
    counter.add(data);
    for (let rest = data; rest.length > 0; ) {
      const taken = this.writer.append(stream, step, offset, readUnixNano, rest);
      offset += taken;
      rest = taken === rest.length ? EMPTY : rest.subarray(taken);
      if (rest.length > 0 || this.writer.isFull) this.flush();
    }
    if (!this.writer.isEmpty && this.timer === undefined) this.schedule();
    return !this.spool.full;
  }

  /** Closes the open batch, if there is one. */
  flush(): void {
    this.timer?.cancel();
    this.timer = undefined;
    if (this.writer.isEmpty) return;
    this.lastFlush = this.clock.monotonic();
    this.spool.push("logs", this.writer.seal(this.spool.nextSequence("logs")));
  }

  /** What each stream has carried so far. */
  totals(): StreamTotals[] {
    return [...this.counters.values()].map((counter) => counter.totals());
  }

  private schedule(): void {
    const quiet = this.clock.monotonic() - this.lastFlush;
    if (quiet >= FLUSH_AFTER) this.flush();
    else this.timer = this.clock.after(FLUSH_AFTER, () => this.flush());
  }

  private counter(stream: LogStream): StreamCounter {
    let counter = this.counters.get(stream);
    if (counter === undefined) this.counters.set(stream, (counter = new StreamCounter(stream)));
    return counter;
  }
}

const EMPTY = new Uint8Array(0);
