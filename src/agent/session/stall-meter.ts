import type { Clock } from "../../base/clock.ts";

/** Time between two readings of the clock, in milliseconds. */
const READ_EVERY = 1000;

/**
 * Measures how long the event loop is blocked: how late a timer comes that should come every second. One wake-up a
 * second, where Node's own histogram would make fifty.
 */
export class StallMeter {
  private readonly clock: Clock;
  private longest = 0;
  /** What `take` gave last. */
  private before = 0;
  private timer: NodeJS.Timeout | undefined;
  private due = 0;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  start(): void {
    this.due = this.clock.monotonic() + READ_EVERY;
    this.timer = setInterval(() => this.readClock(), READ_EVERY);
    this.timer.unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  /** The longest stall since the last call, in milliseconds. */
  take(): number {
    this.before = this.now;
    this.longest = 0;
    return this.before;
  }

  /** The longest stall since the call of `take` before the last, in milliseconds. */
  get recent(): number {
    return Math.max(this.before, this.now);
  }

  /** The longest stall since the last call of `take`. */
  private get now(): number {
    return Math.max(0, this.longest, this.clock.monotonic() - this.due);
  }

  private readClock(): void {
    const now = this.clock.monotonic();
    this.longest = Math.max(this.longest, now - this.due);
    this.due = now + READ_EVERY;
  }
}
