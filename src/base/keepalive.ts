import type { Clock, Timer } from "./clock.ts";

/**
 * Time for a first answer before a sign of life takes its place, in milliseconds: a response's headers are sent with it,
 * and a proxy that sees none answers its client with 504.
 */
const FIRST_MS = 50;

/**
 * How long a stream of answers has been silent. Proxies cut what is idle, nginx and HAProxy after a minute or less, and
 * neither takes HTTP/2's own pings for a sign of life: only an answer counts, and an empty one will do.
 */
export class Keepalive {
  private readonly clock: Clock;
  private readonly interval: number;
  /** On the monotonic clock. */
  private dueAt: number;

  /** @param interval milliseconds of silence after which a sign of life is due. 0: never */
  constructor(clock: Clock, interval: number) {
    this.clock = clock;
    this.interval = interval;
    this.dueAt = clock.monotonic() + Math.min(interval, FIRST_MS);
  }

  /** Something was sent. */
  sent(): void {
    this.dueAt = this.clock.monotonic() + this.interval;
  }

  get isDue(): boolean {
    return this.interval > 0 && this.clock.monotonic() >= this.dueAt;
  }

  /** Calls back when a sign of life is due, if nothing is sent until then. */
  whenDue(callback: () => void): Timer | undefined {
    if (this.interval === 0) return undefined;
    return this.clock.after(this.dueAt - this.clock.monotonic(), callback);
  }
}
