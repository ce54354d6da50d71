import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { formatDuration } from "../../contract/durations.ts";

/** Milliseconds of a duration. */
export function msOf(duration: Duration): number {
  return Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}

/** `2026-11-22T08:33:17.123Z`; empty if there is no time. */
export function isoTime(time: Timestamp | undefined): string {
  return time === undefined ? "" : new Date(timestampMs(time)).toISOString();
}

/** Time from one moment to another, `3m 20s`; empty if one is missing. 0 if two machines' clocks make it negative. */
export function timeBetween(from: Timestamp | undefined, to: Timestamp | undefined): string {
  if (from === undefined || to === undefined) return "";
  return formatDuration(Math.max(0, timestampMs(to) - timestampMs(from)));
}

/** `3m 20s ago`; empty if there is no time. */
export function ago(time: Timestamp | undefined, now: number): string {
  return time === undefined ? "" : `${formatDuration(Math.max(0, now - timestampMs(time)))} ago`;
}
