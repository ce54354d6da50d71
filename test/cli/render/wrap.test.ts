import { expect, it } from "vitest";
import { wrap } from "../../../src/cli/render/wrap.ts";

it.each<[string, number, string[]]>([
  ["one two three", 7, ["one two\n", "three\n"]],
  ["one two three", 13, ["one two three\n"]],
  ["incomprehensibilities no", 5, ["incomprehensibilities\n", "no\n"]],
  ["", 5, ["\n"]],
])("%j in %d columns is cut at spaces", (text, columns, expected) => {
  expect(wrap(text, columns)).toEqual(expected);
});
