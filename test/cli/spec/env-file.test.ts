import { describe, expect, it } from "vitest";
import { parseEnvFile } from "../../../src/cli/spec/env-file.ts";

describe("an environment file", () => {
  it("has KEY=VALUE lines, comments and quotes", () => {
    const text = [
      "# a comment",
      "",
      "A=1",
      "  B = two words   # with a comment",
      "export C='single # $quoted'",
      String.raw`D="line\nbreak and \"quotes\""`,
      "E=",
      "F=a=b#c",
      "G=last\r",
    ].join("\n");
    expect(parseEnvFile(text, "f")).toEqual({
      A: "1",
      B: "two words",
      C: "single # $quoted",
      D: 'line\nbreak and "quotes"',
      E: "",
      F: "a=b#c",
      G: "last",
    });
  });

  it.each([
    ["A=1\nB", "f:2: expected KEY=VALUE"],
    ["1A=x", "f:1: expected KEY=VALUE"],
    ["A-B=x", "f:1: expected KEY=VALUE"],
    ["A='open", "f:1: the closing ' is missing"],
  ])("with a mistake such as %j names the line", (text, message) => {
    expect(() => parseEnvFile(text, "f")).toThrow(message);
  });
});
