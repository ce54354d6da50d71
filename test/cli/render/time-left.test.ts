import { describe, expect, it } from "vitest";
import type { ProgressPoint } from "../../../src/cli/render/time-left.ts";
import { timeLeft } from "../../../src/cli/render/time-left.ts";

/** A report each second from 0 on. */
function each(...fractions: number[]): ProgressPoint[] {
  return fractions.map((fraction, i) => ({ atMs: i * 1000, fraction }));
}

describe("the time left", () => {
  it.each<[string, ProgressPoint[], number, number]>([
    ["follows a steady pace", each(0, 0.1, 0.2), 2000, 8000],
    ["shrinks between two reports", each(0, 0.1, 0.2), 3000, 7000],
    ["is 0 at the end", each(0, 0.5, 1), 99_000, 0],
    ["is not below 0 when the last step takes long", each(0, 0.5, 0.9), 4500, 0],
    ["starts again where progress goes back", each(0.7, 0.8, 0.9, 0, 0.1, 0.2), 5000, 8000],
  ])("%s", (_, points, now, expected) => {
    expect(timeLeft(points, now)).toBeCloseTo(expected, 3);
  });

  it.each<[string, ProgressPoint[], number]>([
    ["without a report", [], 0],
    ["from one report", each(0.5), 0],
    ["where nothing moves", each(0.3, 0.3, 0.3), 2000],
    ["after a long silence", each(0, 0.1, 0.2), 60_000],
    ["if it is years", each(0, 1e-12, 2e-12), 2000],
  ])("is not known %s", (_, points, now) => {
    expect(timeLeft(points, now)).toBeUndefined();
  });

  it("is based on the later half: a slow beginning is ignored", () => {
    const slow = Array.from({ length: 100 }, (_, i) => ({ atMs: i * 1000, fraction: i * 0.0001 }));
    const fast = Array.from({ length: 101 }, (_, i) => ({ atMs: 100_000 + i * 1000, fraction: 0.01 + i * 0.004 }));
    expect(timeLeft([...slow, ...fast], 200_000)).toBeCloseTo((1 - 0.41) / 0.004e-3, -3);
  });

  it("is not distorted by one pause", () => {
    const points = Array.from({ length: 50 }, (_, i) => ({
      atMs: i * 1000 + (i > 45 ? 5000 : 0),
      fraction: i / 100,
    }));
    expect(timeLeft(points, 54_000)).toBeCloseTo(51_000, -3);
  });

  it("handles thousands of reports", () => {
    const points = Array.from({ length: 10_000 }, (_, i) => ({ atMs: i, fraction: i / 20_000 }));
    expect(timeLeft(points, 9_999)).toBeCloseTo(10_001, 0);
  });
});
