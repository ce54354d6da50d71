import { systemClock, type Timer } from "../../../base/clock.ts";

/** A timeout that does not count while the job is paused. */
export class Countdown {
  private timer: Timer | undefined;
  private left: number;
  private since = 0;
  private readonly expire: () => void;

  /** @param ms 0: never */
  constructor(ms: number, expire: () => void) {
    this.left = ms;
    this.expire = expire;
    this.resume();
  }

  pause(): void {
    if (this.timer === undefined) return;
    this.timer.cancel();
    this.timer = undefined;
    this.left = Math.max(1, this.left - (performance.now() - this.since));
  }

  resume(): void {
    if (this.left <= 0 || this.timer !== undefined) return;
    this.since = performance.now();
    this.timer = systemClock.after(this.left, () => {
      this.timer = undefined;
      this.left = 0;
      this.expire();
    });
  }

  /** Ends it: it never expires. */
  cancel(): void {
    this.timer?.cancel();
    this.timer = undefined;
    this.left = 0;
  }
}
