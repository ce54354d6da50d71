import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Interval, MOST_VALUES } from "../../../src/agent/job-metrics/interval.ts";

function taken(values: readonly (readonly [string, number])[]): { values: [string, number][]; left: number } {
  const interval = new Interval();
  for (const [name, value] of values) interval.add({ name, value, step: undefined });
  const { values: kept, left } = interval.take();
  expect(interval.isEmpty).toBe(true);
  return { values: kept.map(({ name, value }) => [name, value]), left };
}

describe("the values of one interval", () => {
  it("are all kept, in order, up to a bound", () => {
    const values = Array.from({ length: MOST_VALUES }, (_, i) => [i % 2 === 0 ? "a" : "b", i] as const);
    expect(taken(values)).toEqual({ values, left: 0 });
  });

  it("beyond it, are of each name the first, the last, the least and the greatest", () => {
    const rise = Array.from({ length: 1000 }, (_, i) => ["x", i % 500] as const);
    const values = [["nan", Number.NaN], ["x", 7], ...rise, ["x", 3], ["nan", Number.NaN], ["nan", 5]] as const;
    expect(taken(values)).toEqual({
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

  it("are never more than the bound, whatever is written", () => {
    const written = fc.array(
      fc.tuple(
        fc.nat(400).map((n) => `n${n}`),
        fc.double(),
      ),
      { maxLength: 2000 },
    );
    fc.assert(
      fc.property(written, (values) => {
        const { values: kept, left } = taken(values);
        expect(kept.length).toBeLessThanOrEqual(MOST_VALUES);
        expect(kept.length + left).toBe(values.length);
        // The last value of a name is the one that people look at.
        const last = new Map(values);
        const names = new Set(values.map(([name]) => name));
        if (names.size <= MOST_VALUES) expect(new Map(kept)).toEqual(last);
      }),
      { numRuns: 50 },
    );
  });
});
