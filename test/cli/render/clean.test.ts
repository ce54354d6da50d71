import { expect, it } from "vitest";
import { clean } from "../../../src/cli/render/clean.ts";

it.each([
  ["plain", "plain"],
  ["two\nlines", "two\\nlines"],
  ["\u001b[2J", "^[[2J"],
  ["\u009b2J", "\\u009b2J"],
  ["abc\u202edcba", "abc\\u202edcba"],
  ["Grüße 🚀", "Grüße 🚀"],
])("%j is shown as %j", (text, shown) => {
  expect(clean(text)).toBe(shown);
});
