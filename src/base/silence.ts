import type { Clock, Timer } from "./clock.ts";

/**
 * Measures how long the other end of a stream has been silent.
 *
 * Law: silence counts only while this process could listen. If the process itself was stopped, or the machine slept,
 * messages may wait unread, so the silence begins again.
 */
export class SilenceClock {
  private readonly clock: Clock;
  private heardAt: number;

  constructor(clock: Clock) {
    this.clock = clock;
    this.heardAt = clock.monotonic();
  }

  /** Must be called for every message: the silence begins again. */
  heard(): void {
    this.heardAt = this.clock.monotonic();
  }

  /** Length of the silence so far, in milliseconds. */
  get duration(): number {
    return this.clock.monotonic() - this.heardAt;
  }

  /**
   * Calls back once after `ms` milliseconds, to look at `duration`.
   *
   * @param tolerance milliseconds; a call that comes later than that shows that the process was stopped
   */
  after(ms: number, tolerance: number, callback: () => void): Timer {
    const due = this.clock.monotonic() + ms;
    return this.clock.after(ms, () => {
      if (this.clock.monotonic() - due > tolerance) this.heard();
      callback();
    });
  }
}
