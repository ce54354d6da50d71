import type { Clock, Timer } from "../clock.ts";

/**
 * How long a stream waits for its first response before a keepalive is sent instead, in milliseconds. The headers are
 * sent with it, and a proxy that gets no headers answers its client with 504.
 */
const FIRST_MS = 50;

/**
 * Measures how long a stream of responses has been silent. Proxies end idle streams: nginx and HAProxy after a minute
 * or less. Neither counts HTTP/2's own pings, only responses; an empty response (a keepalive) is enough.
 */
export class Keepalive {
  private readonly clock: Clock;
  private readonly interval: number;
  /** When a keepalive is due. Monotonic clock. */
  private dueAt: number;

  /** @param interval milliseconds of silence after which a keepalive is due. 0: never */
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

  /** Calls back at the time at which a keepalive is due, as known now. */
  whenDue(callback: () => void): Timer | undefined {
    if (this.interval === 0) return undefined;
    return this.clock.after(this.dueAt - this.clock.monotonic(), callback);
  }
}
