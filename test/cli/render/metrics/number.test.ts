import { expect, it } from "vitest";
import { formatNumber } from "../../../../src/cli/render/metrics/number.ts";

it.each<[number, string]>([
  [0, "0"],
  [0.3125, "0.3125"],
  [0.123456, "0.1235"],
  [12.5, "12.5"],
  [-1.23456, "-1.235"],
  [1234567, "1234567"],
  [3_456_789_012, "3.457e+9"],
  [0.000012, "1.2e-5"],
  [1e-9, "1e-9"],
  [Number.NaN, "nan"],
  [Number.NEGATIVE_INFINITY, "-inf"],
  [Number.POSITIVE_INFINITY, "inf"],
])("%d is shown as %s", (value, expected) => {
  expect(formatNumber(value)).toBe(expected);
});
