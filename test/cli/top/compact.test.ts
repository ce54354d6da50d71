import { expect, test } from "vitest";
import { compactAge, compactCores, compactDuration, compactShare, compactSize } from "../../../src/cli/top/compact.ts";

test.each([
  [0, "0B"],
  [999, "999B"],
  [1000, "1.0K"],
  [65_536, "64.0K"],
  [1_023 * 2 ** 20, "1.0G"],
  [900 * 2 ** 20, "900M"],
  [12.34 * 2 ** 30, "12.3G"],
])("%i bytes are %s", (bytes, text) => {
  expect(compactSize(bytes)).toBe(text);
});

test.each([
  [0, "0s", "0s"],
  [59_999, "59s", "59s"],
  [200_000, "3m20s", "3m20s"],
  [3_540_000, "59m00s", "59m00s"],
  [7_500_000, "2h05m", "2h05m"],
  [86_000_000, "23h53m", "23h"],
  [270_000_000, "3d3h", "3d3h"],
  [1_000_000_000, "11d13h", "11d"],
  [20_000_000_000, "231d", "231d"],
])("%i ms are %s, or %s where there is less room", (ms, text, age) => {
  expect([compactDuration(ms), compactAge(ms)]).toEqual([text, age]);
});

test.each([
  [0, "0.00"],
  [9.996, "10.0"],
  [99.96, "100"],
])("%d cores are %s", (cores, text) => {
  expect(compactCores(cores)).toBe(text);
});

test.each([
  [0, "0%"],
  [0.001, "1%"],
  [0.999, "99%"],
  [1, "100%"],
  [1.5, "150%"],
])("a share of %d is %s", (share, text) => {
  expect(compactShare(share)).toBe(text);
});
