import { describe, expect, test } from "vitest";
import { lastLineOf } from "../../../src/cli/top/last-line.ts";

describe("The last line", () => {
  test.each([
    ["of a log", "one\ntwo\n", "two"],
    ["that has no end yet", "one\ntw", "tw"],
    ["with anything on it", "one\n\n  \n", "one"],
    ["of a progress bar is its last state", "10%\r20%\r30%", "30%"],
    ["of one that ends in a return", "10%\r20%\r", "20%"],
    ["without colours and cursor movements", "\u001b[32mINFO\u001b[0m ok\u001b[2K\u001b[1A", "INFO ok"],
    ["with control characters shown", "a\u0007\u0000b\n", "a^G^@b"],
    ["with tabs as blanks", "a\tb", "a  b"],
    ["of nothing", "", ""],
  ])("%s", (_, log, line) => {
    expect(lastLineOf(Buffer.from(log), false)).toBe(line);
  });

  test("of bytes that begin within a character", () => {
    expect(lastLineOf(Buffer.from("流体").subarray(1), true)).toBe("体");
  });

  test("is no longer than a screen is wide", () => {
    expect(lastLineOf(Buffer.from("x".repeat(4_096)), true)).toHaveLength(512);
  });
});
