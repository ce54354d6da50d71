import { expect, it } from "vitest";
import { elide } from "../../../src/base/text/elide.ts";

it.each([
  ["short enough", 12, "short enough"],
  ["a little too long", 10, "a litt…ong"],
  ["x".repeat(1_000_000), 4, "xx…x"],
  // A pair of surrogates is not cut into halves.
  ["😀😀😀😀", 4, "😀…\ufffd"],
])("%s in at most %d characters: %s", (text, most, expected) => {
  const elided = elide(text, most);
  expect(elided).toBe(expected);
  expect(elided.isWellFormed()).toBe(true);
});
