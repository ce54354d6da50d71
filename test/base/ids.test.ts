import { expect, test } from "vitest";
import { idProblem, shortId, uuidv7 } from "../../src/base/ids.ts";

test("a UUIDv7 carries its time, version and variant", () => {
  const id = uuidv7(0x0123456789ab);
  expect(id).toMatch(/^01234567-89ab-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(uuidv7()).not.toBe(uuidv7());
});

test("a short id is a valid job id", () => {
  expect(shortId()).toMatch(/^[0-9a-hjkmnp-tv-z]{12}$/);
  expect(idProblem(shortId())).toBeUndefined();
});

test.each(["a", "train-7", "a.b_c-d", "9".repeat(128)])("%s is a valid id", (id) => {
  expect(idProblem(id)).toBeUndefined();
});

test.each(["", "-a", ".", "..", "a/b", "a b", "é", "a\n", "x".repeat(129)])("%j is not a valid id", (id) => {
  expect(idProblem(id)).toBeTypeOf("string");
});

test("the message does not repeat all of a long id", () => {
  expect(idProblem("x".repeat(300))).toBe(`"${"x".repeat(40)}…" has 300 characters: expected at most 128`);
});
