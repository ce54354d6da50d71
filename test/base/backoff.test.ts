import fc from "fast-check";
import { expect, test } from "vitest";
import { backoffDelay } from "../../src/base/backoff.ts";

const BOUNDS = { base: 500, cap: 30_000 };

test("the bound doubles with each attempt up to the cap", () => {
  const longest = [1, 2, 3, 6, 7, 8, 1000].map((attempt) => backoffDelay(attempt, BOUNDS, 1));
  expect(longest).toEqual([500, 1000, 2000, 16_000, 30_000, 30_000, 30_000]);
});

test("the delay is any share of the bound, and never beyond it", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5000 }), fc.double({ min: 0, max: 1, noNaN: true }), (attempt, random) => {
      const delay = backoffDelay(attempt, BOUNDS, random);
      expect(delay).toBeGreaterThanOrEqual(0);
      expect(delay).toBeLessThanOrEqual(30_000);
    }),
  );
});
