import { describe, expect, test } from "vitest";
import { formatDuration, parseDuration } from "../../src/contract/durations.ts";

describe("reading a duration", () => {
  test.each([
    ["0", 0],
    ["0s", 0],
    ["500ms", 500],
    ["1.5s", 1500],
    ["10s", 10_000],
    ["5m", 300_000],
    ["1h30m", 5_400_000],
    ["2d", 172_800_000],
  ])("%s is %d ms", (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  test.each(["", "5", "5x", "s", "-1s", "1s 2", "1e3s", "5 minutes"])(
    "%j is refused, and the message teaches",
    (text) => {
      expect(() => parseDuration(text, "--grace")).toThrow(
        `Cannot parse --grace "${text}": expected a duration such as "5s" or "500ms"`,
      );
    },
  );
});

test.each(["36500d", "0.001s", "1.0000001d"])("%s is taken", (text) => {
  expect(Number.isSafeInteger(parseDuration(text))).toBe(true);
});

test.each(["36501d", "99999999999999999999d", `${"9".repeat(400)}h`, "9007199254740993ms", "36500d1ms"])(
  "more than a hundred years is refused: %j",
  (text) => {
    expect(() => parseDuration(text, "--grace")).toThrow(
      `Cannot use --grace "${text}": expected at most "36500d", a hundred years`,
    );
  },
);

test.each(["Infinity", "NaN", "infs", "0x10s", "1_000s", "1,5s", "+5s", "-0", ".5s", "5.s", "５s"])(
  "%j is no duration",
  (text) => {
    expect(() => parseDuration(text)).toThrow("expected a duration such as");
  },
);

test.each([
  [0, "0ms"],
  [350, "350ms"],
  [999.6, "1.0s"],
  [4200, "4.2s"],
  [59_960, "1m"],
  [200_000, "3m 20s"],
  [7_500_000, "2h 5m"],
  [273_600_000, "3d 4h"],
])("%d ms reads %s", (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});
