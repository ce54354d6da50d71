import fc from "fast-check";
import { expect, test } from "vitest";
import { countNewlines } from "../../../src/base/text/newlines.ts";

test("the count of newlines is that of a plain loop, at any alignment", () => {
  const byte = fc.oneof(fc.constant(0x0a), fc.constant(0x8a), fc.constant(0x0b), fc.integer({ min: 0, max: 255 }));
  const bytes = fc.oneof(fc.array(byte, { maxLength: 40 }), fc.array(byte, { minLength: 1000, maxLength: 5000 }));
  fc.assert(
    fc.property(bytes, fc.nat({ max: 7 }), (values, skew) => {
      const memory = new Uint8Array(values.length + skew);
      memory.set(values, skew);
      const view = memory.subarray(skew);
      expect(countNewlines(view)).toBe(values.filter((value) => value === 0x0a).length);
    }),
  );
});
