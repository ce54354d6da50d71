import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Lines, MOST_LINE_BYTES } from "../../../src/agent/job-metrics/lines.ts";

/** Lines of these pieces; `null` for each that is too long. */
function linesOf(pieces: readonly Buffer[]): (string | null)[] {
  const found: (string | null)[] = [];
  const lines = new Lines(
    (text) => found.push(text),
    () => found.push(null),
  );
  for (const piece of pieces) lines.write(piece);
  lines.finish();
  return found;
}

describe("Lines", () => {
  it("finds the same lines wherever chunks end", () => {
    const text = fc.array(fc.string({ unit: fc.constantFrom("a", "ü", "€", "\r", "\0") }), { maxLength: 10 });
    fc.assert(
      fc.property(text, fc.array(fc.nat(40)), (written, cuts) => {
        const bytes = Buffer.from(written.join("\n"));
        const pieces: Buffer[] = [];
        let from = 0;
        for (const cut of cuts) {
          pieces.push(bytes.subarray(from, from + cut));
          from += cut;
        }
        pieces.push(bytes.subarray(from));
        expect(linesOf(pieces)).toEqual(written.length === 0 ? [""] : written);
      }),
    );
  });

  it("skips a line that is too long, reports it once, and goes on after it", () => {
    const long = "x".repeat(MOST_LINE_BYTES + 1);
    const bytes = Buffer.from(`a=1\n${long}${long}\nb=2\n`);
    expect(linesOf([bytes])).toEqual(["a=1", null, "b=2", ""]);
    expect(linesOf([bytes.subarray(0, 3000), bytes.subarray(3000)])).toEqual(["a=1", null, "b=2", ""]);
    const longest = "x".repeat(MOST_LINE_BYTES);
    expect(linesOf([Buffer.from(longest.slice(9)), Buffer.from(`${longest.slice(0, 9)}\n`)])).toEqual([longest, ""]);
  });

  it("skips the rest of a line whose start is missing", () => {
    const found: string[] = [];
    const lines = new Lines(
      (text) => found.push(text),
      () => found.push("too long"),
    );
    lines.write(Buffer.from("a=1\nb="));
    lines.skipLine();
    lines.write(Buffer.from("2 c=3\nd=4\n"));
    expect(found).toEqual(["a=1", "d=4"]);
  });
});
