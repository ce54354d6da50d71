import { expect, test } from "vitest";
import { BATCH, FAN, isFull, surplus, TIER_BYTES, TIER_POINTS } from "../../../../src/tracker/store/points/tiers.ts";

test("A tier is full by points or by bytes; a few points are never too many", () => {
  expect(isFull({ points: TIER_POINTS + BATCH - 1, bytes: 0 })).toBe(false);
  expect(isFull({ points: TIER_POINTS + BATCH, bytes: 0 })).toBe(true);
  expect(isFull({ points: 10, bytes: 2 * TIER_BYTES })).toBe(true);
  expect(isFull({ points: FAN, bytes: 2 * TIER_BYTES })).toBe(false);
});

test("A full tier merges groups of neighbours until it has room, and keeps at least one point", () => {
  const small = Array.from({ length: BATCH }, () => 100);
  expect(surplus({ points: TIER_POINTS + BATCH, bytes: 0 }, small)).toBe(BATCH);
  expect(surplus({ points: TIER_POINTS + 6, bytes: 0 }, small)).toBe(8);
  expect(surplus({ points: 100, bytes: TIER_BYTES + 450 }, small)).toBe(8);
  const large = [TIER_BYTES, TIER_BYTES, TIER_BYTES, TIER_BYTES, TIER_BYTES, TIER_BYTES];
  expect(surplus({ points: 6, bytes: 6 * TIER_BYTES }, large)).toBe(4);
  expect(surplus({ points: 4, bytes: 4 * TIER_BYTES }, large.slice(0, 4))).toBe(0);
});
