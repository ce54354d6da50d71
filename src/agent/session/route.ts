import { durationMs } from "@bufbuild/protobuf/wkt";
import { backoffDelay } from "../../base/backoff.ts";
import { type Clock, sleep, type Timer } from "../../base/clock.ts";
import type { TrackerAddress } from "../../base/network/tracker-address.ts";
import { Scout } from "./scout.ts";
import { SESSION_TIMING, type SessionTiming } from "./session-timing.ts";
import type { StreamEnd } from "./stream.ts";

/** A transport that is not up after this time makes the scout check whether it ever could be. Milliseconds. */
const SLOW_DIAL = 1000;
/** Agents that find an address open again in the same second are spread over this time, in milliseconds. */
const SPREAD = 500;
/** Errors of the system when there was no connection at all; others come later. */
const NO_CONNECTION = /\b(ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|ENOENT|ENOTFOUND|EAI_AGAIN)\b/;
/** A stream that was open for this long was healthy: back-off starts again at the beginning. Milliseconds. */
const HEALTHY_AFTER = 60_000;
/** A job that may start this soon need not be asked for again and again. Milliseconds. */
const LEAST_RETRY_DELAY = 10;
/** Failures that count on after a stream that was welcomed: the tracker is there, so the next try comes soon. */
const FAILURES_AFTER_WELCOME = 1;

type RouteTiming = Pick<SessionTiming, "backoff" | "poll">;

/**
 * Where a session dials next, and when.
 *
 * Its law: addresses take turns, and back-off, which counts whole rounds of them, is kept, but for an address that was
 * unreachable and is found reachable again: that one is dialed at once.
 */
export class Route {
  private readonly addresses: readonly TrackerAddress[];
  private readonly clock: Clock;
  private readonly timing: RouteTiming;
  private readonly scout: Scout;
  private turn = 0;
  private failures = 0;
  /** Found open; where to dial next. */
  private opened: TrackerAddress | undefined;
  private slow: Timer | undefined;
  /** Ends the wait for the next dial. Undefined while an address is being dialed. */
  private waiting: AbortController | undefined;

  /** @param onOpen called when an address is found open while another, or the same, is being dialed without success */
  constructor(
    addresses: readonly TrackerAddress[],
    clock: Clock,
    onOpen: (address: TrackerAddress) => void,
    timing: RouteTiming = SESSION_TIMING,
  ) {
    this.addresses = addresses;
    this.clock = clock;
    this.timing = timing;
    this.scout = new Scout(addresses, clock, (address) => {
      this.opened = address;
      if (this.waiting === undefined) onOpen(address);
      else this.waiting.abort();
    });
  }

  /** The address to dial now. From here on, either `connected` or `failed` is expected. */
  next(): TrackerAddress {
    const { addresses, opened } = this;
    this.opened = undefined;
    if (opened !== undefined) this.turn = addresses.indexOf(opened);
    this.slow = this.clock.after(SLOW_DIAL, () => this.scout.start());
    return addresses[this.turn++ % addresses.length] as TrackerAddress;
  }

  /** There is a transport: the scout is not needed. */
  connected(): void {
    this.slow?.cancel();
    this.scout.stop();
  }

  /** Counts a stream that has ended. @returns milliseconds until the next dial */
  failed(end: StreamEnd, address: TrackerAddress): number {
    this.slow?.cancel();
    if (end.welcomed) {
      this.failures = end.openFor >= HEALTHY_AFTER ? 0 : Math.min(this.failures, FAILURES_AFTER_WELCOME);
    }
    this.failures++;
    if (!end.connected) {
      if (NO_CONNECTION.test(end.message)) this.scout.noteUnreachable(address);
      this.scout.start();
    }
    if (this.opened !== undefined) return 0;
    if (end.retryDelay !== undefined) {
      // The tracker is well, and the job waits.
      this.failures = 0;
      return Math.max(LEAST_RETRY_DELAY, Math.min(end.retryDelay, this.timing.poll));
    }
    const asked = end.goodbye?.retryDelay;
    if (asked !== undefined) return durationMs(asked);
    return backoffDelay(Math.ceil(this.failures / this.addresses.length), this.timing.backoff);
  }

  /** Waits, at most until an address opens. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    this.waiting = new AbortController();
    await sleep(ms, AbortSignal.any([signal, this.waiting.signal]));
    if (this.opened !== undefined) await sleep(Math.random() * SPREAD, signal);
    this.waiting = undefined;
  }

  /** Ends the wait for the next dial, if there is one. */
  skipWait(): void {
    this.waiting?.abort();
  }

  /** Stops the scout. */
  stop(): void {
    this.slow?.cancel();
    this.scout.stop();
  }
}
