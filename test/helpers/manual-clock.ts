import type { Clock, Timer } from "../../src/base/clock.ts";

/** A clock that advances only when a test calls `advance` or `stall`. */
export class ManualClock implements Clock {
  private time = 1_700_000_000_000;
  private timers: { at: number; callback: () => void }[] = [];

  now(): number {
    return this.time;
  }
  unixNano(): bigint {
    return BigInt(this.time) * 1_000_000n;
  }
  unixMs(): number {
    return this.time;
  }
  monotonic(): number {
    return this.time;
  }
  after(ms: number, callback: () => void): Timer {
    const timer = { at: this.time + ms, callback };
    this.timers.push(timer);
    return { cancel: () => void (this.timers = this.timers.filter((other) => other !== timer)) };
  }

  /** Lets time pass; timers fire in order. */
  advance(ms: number): void {
    const end = this.time + ms;
    for (;;) {
      const due = this.timers.filter((timer) => timer.at <= end).toSorted((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.timers = this.timers.filter((timer) => timer !== due);
      this.time = Math.max(this.time, due.at);
      due.callback();
    }
    this.time = Math.max(this.time, end);
  }

  /** Lets time pass within a callback, which takes that long: other timers fire later. */
  spend(ms: number): void {
    this.time += ms;
  }

  /** Lets time pass as if this process were stopped meanwhile: timers that were due fire late, all at once. */
  stall(ms: number): void {
    this.time += ms;
    this.advance(0);
  }

  /** Milliseconds until the next timer is due. Undefined: none is set. */
  get untilNext(): number | undefined {
    if (this.timers.length === 0) return undefined;
    return Math.max(0, Math.min(...this.timers.map(({ at }) => at)) - this.time);
  }

  get pending(): number {
    return this.timers.length;
  }
}
