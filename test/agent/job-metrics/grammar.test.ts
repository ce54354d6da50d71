import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MOST_NAME_BYTES, type ParsedLine, parseLine } from "../../../src/agent/job-metrics/grammar.ts";

/** A record as `parseLine` gives it. */
function record(
  values: Record<string, number>,
  rest: { step?: number; progress?: number; note?: string } = {},
): ParsedLine {
  const { step, progress, note } = rest;
  return {
    kind: "record",
    values: Object.entries(values).map(([name, value]) => ({ name, value, step })),
    progress,
    note,
  };
}

describe("a line of $BELAY_METRICS", () => {
  it.each<[string, ParsedLine]>([
    ["loss=0.31", record({ loss: 0.31 })],
    ["loss=0.31 step=10", record({ loss: 0.31 }, { step: 10 })],
    [
      "step=1e3 train/loss=-.5E-2\tval.acc=+93. _x-1=7",
      record({ "train/loss": -0.005, "val.acc": 93, "_x-1": 7 }, { step: 1000 }),
    ],
    ["  loss=1  \r", record({ loss: 1 })],
    ["loss=nan grad=inf low=-Infinity", record({ loss: Number.NaN, grad: Infinity, low: -Infinity })],
    ["progress=0.42", record({}, { progress: 0.42 })],
    ["progress=42%", record({}, { progress: 0.42 })],
    ["progress=1.0000000000000002", record({}, { progress: 1 })],
    ['progress=0 note="epoch 3/10"', record({}, { progress: 0, note: "epoch 3/10" })],
    ['note="a \\"b\\" \\\\ \\t # =ü" loss=1', record({ loss: 1 }, { note: 'a "b" \\ \t # =ü' })],
    ["note=warm-up", record({}, { note: "warm-up" })],
    ['note=""', record({}, { note: "" })],
    ["", { kind: "nothing" }],
    [" \t\r", { kind: "nothing" }],
    ["  # loss=abc", { kind: "nothing" }],
  ])("%j is understood", (line, expected) => {
    expect(parseLine(line)).toEqual(expected);
  });

  it.each([
    ["loss", 'expected name=value, found "loss"'],
    ["loss = 0.3", 'expected name=value, found "loss"'],
    ["=3", 'expected a name of letters, digits and _ . / -, found ""'],
    ["1loss=3", 'expected a name of letters, digits and _ . / -, found "1loss"'],
    ["verlust€=3", 'expected a name of letters, digits and _ . / -, found "verlust€"'],
    [
      `${"n".repeat(MOST_NAME_BYTES + 1)}=3`,
      `expected a name of at most 128 characters, found 129: "${"n".repeat(40)}…"`,
    ],
    ["loss=", 'expected a number for "loss", found ""'],
    ["loss=0x10", 'expected a number for "loss", found "0x10"'],
    ["loss=1,5", 'expected a number for "loss", found "1,5"'],
    ["acc=93%", 'expected a number for "acc", found "93%"'],
    ['loss="0.3"', 'expected a number for "loss", found text in quotes'],
    ["loss=1 loss=2", '"loss" occurs twice'],
    ["loss=1 # comment", 'expected name=value, found "#"'],
    ["step=10", '"step" needs a value on the same line'],
    ["step=inf loss=1", 'expected a finite number for "step", found "inf"'],
    ["progress=1.1", 'expected 0 to 1 or 0% to 100% for "progress", found "1.1"'],
    ["progress=-0.1", 'expected 0 to 1 or 0% to 100% for "progress", found "-0.1"'],
    ["progress=nan", 'expected 0 to 1 or 0% to 100% for "progress", found "nan"'],
    ['note="open', 'expected a closing quote for "note", found the end of the line'],
    ['note="a"b', 'expected a space after the closing quote of "note", found "b"'],
    ['note=a"b', 'expected quotes around the whole "note" or none, found "a\\"b"'],
    ['note="\\x"', 'expected \\" \\\\ \\n or \\t in "note", found "\\\\x"'],
    ["\0\0loss=1", 'expected a name of letters, digits and _ . / -, found "\\u0000\\u0000loss"'],
  ])("%j breaks it: %s", (line, why) => {
    expect(parseLine(line)).toEqual({ kind: "bad", why });
  });
});

const letters = "abcxyzABCXYZ_".split("");
const name = fc
  .tuple(
    fc.constantFrom(...letters),
    fc.string({ unit: fc.constantFrom(...letters, ..."0189./-".split("")), maxLength: 20 }),
  )
  .map(([first, rest]) => first + rest)
  .filter((text) => !["step", "progress", "note"].includes(text));
/** As JavaScript writes it, -0 is 0. */
const written = (value: number): number => value + 0;
const finite = fc.double({ noNaN: true, noDefaultInfinity: true }).map(written);

describe("the grammar", () => {
  it("parses what was written", () => {
    const lines = fc.record({
      values: fc.dictionary(name, fc.double().map(written), { minKeys: 1, maxKeys: 8, noNullPrototype: true }),
      step: fc.option(finite, { nil: undefined }),
      progress: fc.option(fc.double({ min: 0, max: 1, noNaN: true }).map(written), { nil: undefined }),
      note: fc.option(fc.string({ unit: "grapheme-ascii", maxLength: 60 }), { nil: undefined }),
    });
    fc.assert(
      fc.property(lines, ({ values, step, progress, note }) => {
        const pairs = Object.entries(values).map(([key, value]) => `${key}=${value}`);
        if (step !== undefined) pairs.push(`step=${step}`);
        if (progress !== undefined) pairs.push(`progress=${progress}`);
        if (note !== undefined) pairs.push(`note="${note.replaceAll(/["\\]/g, String.raw`\$&`)}"`);
        const rest = {
          ...(step !== undefined && { step }),
          ...(progress !== undefined && { progress }),
          ...(note !== undefined && { note }),
        };
        expect(parseLine(pairs.join(" "))).toEqual(record(values, rest));
      }),
    );
  });

  it("never throws", () => {
    const anything = fc.oneof(
      fc.string({ unit: "binary", maxLength: 200 }),
      fc.string({ unit: fc.constantFrom(...'a="\\ \t#1.e-+%progressnotestep'.split("")), maxLength: 80 }),
    );
    fc.assert(
      fc.property(anything, (line) => {
        const parsed = parseLine(line);
        if (parsed.kind !== "record") return;
        for (const { value, step } of parsed.values) expect([typeof value, typeof step]).toContain("number");
        expect(parsed.progress ?? 0).toBeGreaterThanOrEqual(0);
        expect(parsed.progress ?? 0).toBeLessThanOrEqual(1);
      }),
      { numRuns: 2000 },
    );
  });
});
