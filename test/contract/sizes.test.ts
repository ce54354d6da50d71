import { expect, test } from "vitest";
import { formatSize, parseSize } from "../../src/contract/sizes.ts";

test.each([
  ["4096", 4096],
  ["64KiB", 65_536],
  ["64k", 65_536],
  ["1.5 MiB", 1_572_864],
  ["1GiB", 1_073_741_824],
  ["10MB", 10_000_000],
  ["2TiB", 2_199_023_255_552],
  ["8191.9TiB", 9_007_089_303_578_214],
  ["9007199254740991", 9_007_199_254_740_991],
])("%s is %d bytes", (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

test.each(["", "x", "10 parsecs", "-1", "1GiBB"])("%j is refused, and the message shows valid sizes", (text) => {
  expect(() => parseSize(text, "--spool-limit")).toThrow(`Cannot parse --spool-limit "${text}"`);
});

test.each(["8192TiB", "9007199254740992", "99999999999999999999GiB", "9".repeat(400)])(
  "what a number cannot hold exactly is refused: %j",
  (text) => {
    expect(() => parseSize(text, "--memory-limit")).toThrow(
      `Cannot use --memory-limit "${text}": expected less than "8192TiB"`,
    );
  },
);

test.each(["1e30", "0x10", "Infinity", "NaN", "-0", "+5", "50%", "16EiB", "1_000", "1,5k", ".5k"])(
  "%j is no size",
  (text) => {
    expect(() => parseSize(text)).toThrow("expected a size such as");
  },
);

test.each([
  [812, "812 B"],
  [65_536n, "64.0 KiB"],
  [1_288_490_189, "1.2 GiB"],
  [1_048_570, "1.0 MiB"],
])("%s bytes read %s", (bytes, text) => {
  expect(formatSize(bytes)).toBe(text);
});
