import fc from "fast-check";
import { expect, test } from "vitest";
import { crc32 } from "node:zlib";
import { crc32Combine } from "../../src/base/crc32-combine.ts";

test("Combined checksums are the checksum of the whole", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 500 }), fc.uint8Array({ maxLength: 70_000, size: "max" }), (a, b) => {
      expect(crc32Combine(crc32(a), crc32(b), b.length)).toBe(crc32(Buffer.concat([a, b])));
    }),
  );
});
