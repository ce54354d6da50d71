import { expect, test } from "vitest";
import { formatSize, parseSize } from "../../src/base/sizes.ts";

test.each([
  ["4096", 4096],
  ["64KiB", 65_536],
  ["64k", 65_536],
  ["1.5 MiB", 1_572_864],
  ["1GiB", 1_073_741_824],
  ["10MB", 10_000_000],
])("%s is %d bytes", (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

test.each(["", "x", "10 parsecs", "-1", "1GiBB"])("%j is refused, and the message teaches", (text) => {
  expect(() => parseSize(text, "--spool-limit")).toThrow(`Cannot parse --spool-limit "${text}"`);
});

test.each([
  [812, "812 B"],
  [65_536n, "64.0 KiB"],
  [1_288_490_189, "1.2 GiB"],
  [1_048_570, "1.0 MiB"],
])("%s bytes read %s", (bytes, text) => {
  expect(formatSize(bytes)).toBe(text);
});
