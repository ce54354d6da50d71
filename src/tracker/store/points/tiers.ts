import { KiB } from "../../../base/sizes.ts";

/** Points of one tier that become one of the next. */
export const FAN = 4;
/** Points that a tier keeps. At the usual 5 s between samples, the first tier is the last 85 minutes. */
export const TIER_POINTS = 1024;
/** Bytes that a tier keeps, for points that are large. */
export const TIER_BYTES: number = 512 * KiB;
/** Points that are merged in one go, about a millisecond's work. */
export const BATCH = 64;
/** Bytes above `TIER_BYTES` at which a tier is made smaller. */
const BYTES_SLACK: number = 32 * KiB;

/** What a tier holds. */
export interface Tally {
  points: number;
  bytes: number;
}

/**
 * Which points a tier gives up.
 *
 * A series of records is kept in tiers. New records enter tier 0 as they are. When a tier is full, its oldest points
 * are merged, `FAN` neighbours into one, and that one enters the next tier. Its laws:
 *
 * - A tier's points are all older than those of the tier before, so the tiers, the highest first, are the series.
 * - A point of tier t stands for `FAN ** t` records: a stretch of time that is at most about 1/256 of its age.
 * - A tier holds at most `TIER_POINTS + BATCH` points, and 544 KiB unless five points alone are more; and it is never
 *   empty once it has held one. So n records take `log4(n / 1024) + 1` tiers: five for a week at 5 s.
 * - A record is written once, and then 1/4 + 1/16 + … times again, `BATCH` at a time.
 */
export function isFull({ points, bytes }: Tally): boolean {
  if (points <= FAN) return false;
  return points >= TIER_POINTS + BATCH || bytes >= TIER_BYTES + BYTES_SLACK;
}

/** @param sizes bytes of a full tier's oldest points, at most `BATCH`. @returns how many of them are to be merged */
export function surplus(tally: Tally, sizes: readonly number[]): number {
  let { points, bytes } = tally;
  let taken = 0;
  while (taken + FAN <= sizes.length && points > FAN && (points > TIER_POINTS || bytes > TIER_BYTES)) {
    points -= FAN;
    for (const size of sizes.slice(taken, taken + FAN)) bytes -= size;
    taken += FAN;
  }
  return taken;
}
