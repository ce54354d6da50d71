import type { Outage } from "../client/client.ts";

/** How it stands with the tracker. */
export interface LinkState {
  /** Since when there is no connection, and what is done about it. Undefined: there is one. */
  readonly outage: Outage | undefined;
  /** Whether all jobs have been told, once. */
  readonly synced: boolean;
  /** When the tracker last answered anything, in milliseconds since the Unix epoch. */
  readonly answeredMs: number;
}

/** A connection that has not answered for longer than this is one in name only. */
export function isSilent({ outage, answeredMs }: LinkState, nowMs: number, intervalMs: number): boolean {
  return outage === undefined && nowMs - answeredMs > 3 * intervalMs + 2_000;
}

/** Whether what is shown may no longer be true. */
export function isStale(link: LinkState, nowMs: number, intervalMs: number): boolean {
  return link.outage !== undefined || isSilent(link, nowMs, intervalMs);
}
