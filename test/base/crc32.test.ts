import { crc32 as zlibs } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { combine, crc32, withoutFirst } from "../../src/base/crc32.ts";

test("Checksums of pieces combine to the checksum of the whole, and the reverse", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 500 }), fc.uint8Array({ maxLength: 70_000, size: "max" }), (a, b) => {
      const whole = zlibs(Buffer.concat([a, b]));
      expect(crc32(b, crc32(a))).toBe(whole);
      expect(combine(crc32(a), crc32(b), b.length)).toBe(whole);
      expect(withoutFirst(crc32(a), whole, b.length)).toBe(zlibs(b));
    }),
  );
});
