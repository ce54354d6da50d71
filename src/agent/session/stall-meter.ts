import type { Clock } from "../../base/clock.ts";

/** Time between two looks at the clock, in milliseconds. */
const LOOK_EVERY = 1000;

/**
 * Measures how long the event loop stands still: how late a timer comes that should come every second. One wake-up a
 * second, where Node's own histogram would make fifty.
 */
export class StallMeter {
  private readonly clock: Clock;
  private longest = 0;
  private timer: NodeJS.Timeout | undefined;
  private due = 0;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  start(): void {
    this.due = this.clock.monotonic() + LOOK_EVERY;
    this.timer = setInterval(() => this.look(), LOOK_EVERY);
    this.timer.unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  /** The longest stall since the last call, in milliseconds. */
  take(): number {
    const longest = Math.max(this.longest, this.clock.monotonic() - this.due);
    this.longest = 0;
    return Math.max(0, longest);
  }

  private look(): void {
    const now = this.clock.monotonic();
    this.longest = Math.max(this.longest, now - this.due);
    this.due = now + LOOK_EVERY;
  }
}
