import type { Clock } from "../../../base/clock.ts";

/** Callers that are remembered; the one not seen for longest is forgotten first, which can only be to its advantage. */
const MAX_CALLERS = 10_000;

/** How often each caller may call: a bucket of tokens that fills steadily and holds two seconds' worth. */
export class RateLimit {
  private readonly clock: Clock;
  private readonly perSecond: number;
  private readonly buckets = new Map<string, { left: number; at: number }>();

  /** @param perSecond calls of one caller. 0: no limit */
  constructor(clock: Clock, perSecond: number) {
    this.clock = clock;
    this.perSecond = perSecond;
  }

  /** Counts a call. @returns 0: it is accepted; else the milliseconds after which to try again */
  take(caller: string): number {
    if (this.perSecond === 0) return 0;
    const now = this.clock.monotonic();
    const full = 2 * this.perSecond;
    const { left, at } = this.buckets.get(caller) ?? { left: full, at: now };
    const filled = Math.min(full, left + ((now - at) * this.perSecond) / 1000);
    const allowed = filled >= 1;
    // Put at the end: the first one is the one not seen for longest.
    this.buckets.delete(caller);
    this.buckets.set(caller, { left: allowed ? filled - 1 : filled, at: now });
    const [oldest] = this.buckets.keys();
    if (this.buckets.size > MAX_CALLERS && oldest !== undefined) this.buckets.delete(oldest);
    return allowed ? 0 : Math.ceil(((1 - filled) * 1000) / this.perSecond);
  }
}
