import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Interval, MOST_DROPPED_NAMES, MOST_VALUES } from "../../../src/agent/job-metrics/interval.ts";

function taken(values: readonly (readonly [string, number])[]): {
  values: [string, number][];
  left: number;
  loss: Record<string, number>;
} {
  const interval = new Interval();
  for (const [name, value] of values) interval.add({ name, value, step: undefined });
  const { values: kept, left } = interval.drain();
  expect(interval.isEmpty).toBe(true);
  const { droppedNames, ...counts } = left;
  const all = Object.values(counts).reduce((sum, count) => sum + count, 0);
  return {
    values: kept.map(({ name, value }) => [name, value]),
    left: all,
    loss: { ...counts, names: droppedNames.size },
  };
}

describe("the values of one interval", () => {
  it("are all kept, in order, up to a bound", () => {
    const values = Array.from({ length: MOST_VALUES }, (_, i) => [i % 2 === 0 ? "a" : "b", i] as const);
    expect(taken(values)).toMatchObject({ values, left: 0 });
  });

  it("beyond the bound, are the first, last, least and greatest of each name", () => {
    const rise = Array.from({ length: 1000 }, (_, i) => ["x", i % 500] as const);
    const values = [["nan", Number.NaN], ["x", 7], ...rise, ["x", 3], ["nan", Number.NaN], ["nan", 5]] as const;
    expect(taken(values)).toMatchObject({
      values: [
        ["nan", Number.NaN],
        ["x", 7],
        ["x", 0],
        ["x", 499],
        ["x", 3],
        ["nan", 5],
      ],
      left: values.length - 6,
    });
  });

  const times = (names: number, values: number): [string, number][] =>
    Array.from({ length: names * values }, (_, i) => [`n${i % names}`, i]);

  it.each([
    ["one name, many values", times(1, 1000), { thinned: 998, lastOnly: 0, dropped: 0, names: 0 }],
    ["64 names, 10 values each", times(64, 10), { thinned: 64 * 8, lastOnly: 0, dropped: 0, names: 0 }],
    ["200 names, 10 values each", times(200, 10), { thinned: 0, lastOnly: 200 * 9, dropped: 0, names: 0 }],
    ["300 names, 1 value each", times(300, 1), { thinned: 0, lastOnly: 0, dropped: 44, names: 44 }],
    ["300 names, 10 values each", times(300, 10), { thinned: 0, lastOnly: 256 * 9, dropped: 440, names: 44 }],
    ["100,000 names", times(100_000, 1), { thinned: 0, lastOnly: 0, dropped: 99_744, names: MOST_DROPPED_NAMES }],
  ])("that are left out are counted by what is kept of their name: %s", (_, values, loss) => {
    expect(taken(values).loss).toEqual(loss);
  });

  /** Values of names of which there are so many at most. */
  const written = (names: number): fc.Arbitrary<[string, number][]> =>
    fc.array(
      fc.tuple(
        fc.nat(names - 1).map((n) => `n${n}`),
        fc.double(),
      ),
      { maxLength: 2000 },
    );

  it("never exceed the bound, whatever is written", () => {
    fc.assert(
      fc.property(written(401), (values) => {
        const { values: kept, left } = taken(values);
        expect(kept.length).toBeLessThanOrEqual(MOST_VALUES);
        expect(kept.length + left).toBe(values.length);
      }),
      { numRuns: 50 },
    );
  });

  it("include the last value of each name, which is what people look at, where the names fit", () => {
    fc.assert(
      fc.property(written(MOST_VALUES), (values) => {
        expect(new Map(taken(values).values)).toEqual(new Map(values));
      }),
      { numRuns: 50 },
    );
  });
});
