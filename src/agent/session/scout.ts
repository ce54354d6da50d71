import { connect } from "node:net";
import { lookup } from "node:dns/promises";
import type { Clock, Timer } from "../../base/clock.ts";
import { connectThroughProxy } from "../../base/network/proxy.ts";
import type { TrackerAddress } from "../../base/network/tracker-address.ts";

/** Longest time between two checks of an address, in milliseconds. The shortest is half of it. */
const CHECK_EVERY = 1000;
/** A connection that is not made within this time will not be made, in milliseconds: one round trip, with room. */
const CONNECT_TIMEOUT = 1000;

/**
 * While no tracker can be reached, finds the moment when one can be reached again.
 *
 * Back-off is there to spare a tracker that is in trouble. A network that is away, or a tracker that does not run,
 * needs no sparing, but back-off and the kernel's own (a SYN is repeated after 1, 3, 7, 15 s) would keep the agent away
 * for up to half a minute longer. So each address is tried with a plain TCP connection about once a second, through
 * the proxy where there is one. Its law: it reports only an address that was unreachable and is no longer, once
 * for each time; an address that was reachable all along has another trouble, and back-off is the answer to that.
 *
 * What it costs: an agent without a tracker sends a packet of 60 bytes each 0.75 s; 10,000 of them make 6 Mbit/s, and find
 * the tracker within a second and a half of its return, spread evenly.
 */
export class Scout {
  private readonly addresses: readonly TrackerAddress[];
  private readonly clock: Clock;
  private readonly onOpen: (address: TrackerAddress) => void;
  private readonly unreachable = new Set<TrackerAddress>();
  private readonly timers = new Set<Timer>();
  private running: AbortController | undefined;

  constructor(addresses: readonly TrackerAddress[], clock: Clock, onOpen: (address: TrackerAddress) => void) {
    this.addresses = addresses;
    this.clock = clock;
    this.onOpen = onOpen;
  }

  /** Checks the addresses until it is stopped. Does nothing when it is running already. */
  start(): void {
    if (this.running !== undefined) return;
    this.running = new AbortController();
    for (const address of this.addresses) this.scheduleCheck(address, this.running.signal);
  }

  /** An address could not be reached. */
  noteUnreachable(address: TrackerAddress): void {
    this.unreachable.add(address);
  }

  stop(): void {
    this.running?.abort();
    this.running = undefined;
    this.unreachable.clear();
    for (const timer of this.timers) timer.cancel();
    this.timers.clear();
  }

  private scheduleCheck(address: TrackerAddress, signal: AbortSignal): void {
    const timer = this.clock.after(CHECK_EVERY * (0.5 + Math.random() / 2), () => {
      this.timers.delete(timer);
      void this.check(address, signal);
    });
    this.timers.add(timer);
  }

  /** Never rejects. One at a time for each address, its name look-up included: look-ups block threads of the process. */
  private async check(address: TrackerAddress, signal: AbortSignal): Promise<void> {
    const open = await isOpen(address, this.clock, signal);
    if (signal.aborted) return;
    this.scheduleCheck(address, signal);
    if (!open) this.unreachable.add(address);
    else if (this.unreachable.delete(address)) this.onOpen(address);
  }
}

/** Whether a connection can be made. */
async function isOpen(address: TrackerAddress, clock: Clock, signal: AbortSignal): Promise<boolean> {
  if (address.kind === "tcp") {
    try {
      const tunnel = await connectThroughProxy(address, signal);
      tunnel?.destroy();
      if (tunnel !== undefined) return true;
    } catch {
      return false;
    }
  }
  let where: { path: string } | { host: string; port: number };
  try {
    where = await socketAddress(address);
  } catch {
    return false;
  }
  return new Promise((resolve) => {
    const socket = connect(where);
    const done = (open: boolean): void => {
      timer.cancel();
      signal.removeEventListener("abort", abandon);
      // No half-open connection stays at the tracker, nor one in TIME_WAIT here.
      socket.resetAndDestroy();
      resolve(open);
    };
    const abandon = (): void => done(false);
    const timer = clock.after(CONNECT_TIMEOUT, abandon);
    signal.addEventListener("abort", abandon, { once: true });
    socket.unref();
    socket.once("connect", () => done(true));
    socket.on("error", abandon);
    if (signal.aborted) abandon();
  });
}

async function socketAddress(address: TrackerAddress): Promise<{ path: string } | { host: string; port: number }> {
  if (address.kind === "unix") return { path: address.path };
  return { host: (await lookup(address.host)).address, port: address.port };
}
