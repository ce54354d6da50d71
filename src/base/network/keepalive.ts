import type { Clock, Timer } from "../clock.ts";

/**
 * How long a stream waits for its first response before a sign of life is sent instead, in milliseconds. The headers
 * are sent with it, and a proxy that gets no headers answers its client with 504.
 */
const FIRST_MS = 50;

/**
 * Measures how long a stream of responses has been silent. Proxies end idle streams, nginx and HAProxy after a minute
 * or less, and for neither do HTTP/2's own pings count: only a response does, and an empty one is enough.
 */
export class Keepalive {
  private readonly clock: Clock;
  private readonly interval: number;
  /** When a sign of life is due. Monotonic clock. */
  private dueAt: number;

  /** @param interval milliseconds of silence after which a sign of life is due. 0: never */
  constructor(clock: Clock, interval: number) {
    this.clock = clock;
    this.interval = interval;
    this.dueAt = clock.monotonic() + Math.min(interval, FIRST_MS);
  }

  /** Must be called when something was sent. */
  sent(): void {
    this.dueAt = this.clock.monotonic() + this.interval;
  }

  get isDue(): boolean {
    return this.interval > 0 && this.clock.monotonic() >= this.dueAt;
  }

  /** Calls back at the time at which a sign of life is due now. */
  whenDue(callback: () => void): Timer | undefined {
    if (this.interval === 0) return undefined;
    return this.clock.after(this.dueAt - this.clock.monotonic(), callback);
  }
}
