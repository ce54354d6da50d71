import type { Clock, Timer } from "../../base/clock.ts";

/** The time that a session has until a tracker admits it. */
export class AdmissionTime {
  private readonly clock: Clock;
  private readonly limit: number;
  private readonly onLate: () => void;
  private timer: Timer | undefined;
  /** By the monotonic clock. */
  private lateAt = Number.POSITIVE_INFINITY;

  /**
   * @param limit milliseconds; 0: no limit
   * @param onLate called when the time is over
   */
  constructor(clock: Clock, limit: number, onLate: () => void) {
    this.clock = clock;
    this.limit = limit;
    this.onLate = onLate;
  }

  /** Starts the time. @param wait milliseconds from now that do not count */
  start(wait: number): void {
    this.stop();
    if (this.limit === 0) return;
    this.lateAt = this.clock.monotonic() + wait + this.limit;
    this.timer = this.clock.after(wait + this.limit, this.onLate);
  }

  /** Whether the time is over in so many milliseconds. */
  isOverIn(ms: number): boolean {
    return this.clock.monotonic() + ms > this.lateAt;
  }

  stop(): void {
    this.timer?.cancel();
  }
}
