import { KiB } from "../../../base/text/sizes.ts";

/** How many points of one tier become one point of the next. */
export const FAN = 4;
/** Points that a tier keeps. At the default of 5 s between samples, the first tier covers the last 85 minutes. */
export const TIER_POINTS = 1024;
/** Bytes that a tier keeps, in case points are large. */
export const TIER_BYTES: number = 512 * KiB;
/** Points that are merged at once: about a millisecond of work. */
export const BATCH = 64;
/** How far a tier may exceed `TIER_BYTES` before its points are merged. */
const BYTES_SLACK: number = 32 * KiB;

/** What a tier holds. */
export interface Tally {
  points: number;
  bytes: number;
}

/**
 * Whether a tier must move points to the next tier.
 *
 * A series of records is kept in tiers. New records enter tier 0 unchanged. When a tier is full, its oldest points are
 * merged, `FAN` neighbours into one point, which enters the next tier. Its laws:
 *
 * - All points of a tier are older than those of the tier before, so the tiers, highest first, are the whole series.
 * - A point of tier t stands for `FAN ** t` records: a stretch of time that is at most about 1/256 of its age.
 * - A tier has at most `TIER_POINTS + BATCH` points, and at most 544 KiB unless five points alone are larger. It is never
 *   empty once it has had a point. So n records take `log4(n / 1024) + 1` tiers: five for a week at 5 s.
 * - A record is written once, and then rewritten 1/4 + 1/16 + … times, `BATCH` at a time.
 */
export function isFull({ points, bytes }: Tally): boolean {
  if (points <= FAN) return false;
  return points >= TIER_POINTS + BATCH || bytes >= TIER_BYTES + BYTES_SLACK;
}

/** @param sizes bytes of a full tier's oldest points, at most `BATCH`. @returns how many of them must be merged */
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
