import fc from "fast-check";
import { expect, it } from "vitest";
import { bytesOfText, pathOfText, shownText, textOfBytes } from "../../../src/base/text/system-text.ts";

it("bytes of any kind come back from their text", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      expect(bytesOfText(textOfBytes(Buffer.from(bytes)))).toEqual(Buffer.from(bytes));
    }),
  );
});

it("a text in UTF-8 is itself", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      expect(textOfBytes(Buffer.from(text))).toBe(text);
      expect(bytesOfText(text)).toEqual(Buffer.from(text));
      expect(pathOfText(text)).toBe(text);
    }),
  );
});

it.each([
  ["caf\xe9", "caf\\xe9"],
  ["\xed\xb2\x80", "\\xed\\xb2\\x80"],
  ["\xf0\x9f\x98", "\\xf0\\x9f\\x98"],
  ["\xc3\xa9\xe9", "é\\xe9"],
])("%j is shown as %s", (latin1, shown) => {
  const text = textOfBytes(Buffer.from(latin1, "latin1"));
  expect(text.isWellFormed()).toBe(false);
  expect(shownText(text)).toBe(shown);
  expect(pathOfText(text)).toEqual(Buffer.from(latin1, "latin1"));
});
