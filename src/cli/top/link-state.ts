import type { Outage } from "../client/client.ts";

/** The state of the connection to the tracker. */
export interface LinkState {
  /** Since when there is no connection, and the next attempt. Undefined: there is a connection. */
  readonly outage: Outage | undefined;
  /** Whether the tracker has reported all jobs once. */
  readonly synced: boolean;
  /** When the tracker last answered anything, in milliseconds since the Unix epoch. */
  readonly answeredMs: number;
}

/** A connection on which the tracker has not answered for longer than this counts as silent. */
export function isSilent({ outage, answeredMs }: LinkState, nowMs: number, intervalMs: number): boolean {
  return outage === undefined && nowMs - answeredMs > 3 * intervalMs + 2_000;
}

/** Whether the table may be out of date. */
export function isStale(link: LinkState, nowMs: number, intervalMs: number): boolean {
  return link.outage !== undefined || isSilent(link, nowMs, intervalMs);
}
