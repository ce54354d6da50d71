import { expect, it } from "vitest";
import { columnsOf } from "../../../../src/cli/render/metrics/over-time.ts";

const RANGE = { fromMs: 0, toMs: 100 };

it("A stretch of time fills the columns that it touches; the greatest value of a column counts", () => {
  const stretches = [
    { fromMs: 0, toMs: 20, value: 1 },
    { fromMs: 20, toMs: 25, value: 7 },
    { fromMs: 25, toMs: 40, value: 2 },
    { fromMs: 80, toMs: 100, value: 3 },
  ];
  expect(columnsOf(stretches, RANGE, 10)).toEqual([1, 1, 7, 2, undefined, undefined, undefined, undefined, 3, 3]);
  expect(columnsOf(stretches, RANGE, 5)).toEqual([1, 7, undefined, undefined, 3]);
});

it("An unknown value is a gap, and a moment is one column", () => {
  const stretches = [
    { fromMs: 0, toMs: 50, value: undefined },
    { fromMs: 50, toMs: 50, value: 4 },
    { fromMs: 60, toMs: 100, value: Number.NaN },
  ];
  expect(columnsOf(stretches, RANGE, 4)).toEqual([undefined, undefined, 4, undefined]);
});

it("One moment is drawn over the whole width, since there is nothing else", () => {
  expect(columnsOf([{ fromMs: 5, toMs: 5, value: 4 }], { fromMs: 5, toMs: 5 }, 3)).toEqual([4, 4, 4]);
  expect(columnsOf([{ fromMs: 5, toMs: 5, value: 4 }], RANGE, 0)).toEqual([]);
});
