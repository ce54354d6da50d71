import { describe, expect, test } from "vitest";
import { figure, median, percentile, quotients, ratio } from "./stats.ts";

describe("a percentile", () => {
  test("is one of the values, by nearest rank", () => {
    const values = [50, 15, 40, 20, 35];
    expect([0, 0.05, 0.3, 0.4, 0.5, 1].map((share) => percentile(values, share))).toEqual([15, 15, 20, 20, 35, 50]);
  });

  test("of nothing is not a number", () => {
    expect(percentile([], 0.5)).toBeNaN();
    expect(median([])).toBeNaN();
  });

  test("leaves the values in their order", () => {
    const values = [3, 1, 2];
    expect(median(values)).toBe(2);
    expect(values).toEqual([3, 1, 2]);
  });
});

test("a figure has the value that counts, and the spread of the others", () => {
  const values = [9, 1, 5, 3, 7];
  expect(figure(values)).toEqual({ value: 5, min: 1, max: 9, q1: 3, q3: 7, values });
  expect(figure(values, 0.99).value).toBe(9);
});

describe("a ratio", () => {
  test("of pairs is the median of their quotients: a slow minute that affects both of a pair does not count", () => {
    const ours = [10, 100, 10];
    const reference = [20, 200, 10];
    expect(quotients(ours, reference)).toEqual([0.5, 0.5, 1]);
    expect(ratio(ours, reference)).toBe(0.5);
    expect(median(ours) / median(reference)).toBe(0.5);
    expect(ratio([1, 30, 20], [10, 60, 40])).toBe(0.5);
  });

  test("of values that were not measured in pairs, and of a percentile, is the ratio of the figures", () => {
    expect(ratio([1, 2, 3], [4])).toBe(0.5);
    expect(ratio([1, 2, 8], [1, 1, 2], 0.99)).toBe(4);
  });
});
