import { describe, expect, test } from "vitest";
import { type Row, summarize } from "./row.ts";

const row: Row = { key: "a.b", what: "a", unit: "MB/s", better: "more", ours: [1, 2, 3] };

describe("a row as an object", () => {
  test("always has the same keys", () => {
    const keys = ["key", "what", "unit", "better", "share", "ours", "reference", "ratio", "reach", "reached"];
    const full: Row = { ...row, share: 0.9, reference: { what: "r", values: [2, 4, 6] }, reach: { ratio: 0.4 } };
    expect(Object.keys(JSON.parse(JSON.stringify(summarize(row))))).toEqual(keys);
    expect(Object.keys(JSON.parse(JSON.stringify(summarize(full))))).toEqual(keys);
    expect(summarize(row)).toMatchObject({ share: 0.5, reference: null, ratio: null, reach: null, reached: null });
  });

  test("has the ratio to its reference", () => {
    expect(summarize({ ...row, reference: { what: "r", values: [2, 4, 6] } })).toMatchObject({
      ours: { value: 2 },
      reference: { what: "r", missing: null, figure: { value: 4, min: 2, max: 6 } },
      ratio: 0.5,
    });
  });

  test("reports why a reference is missing", () => {
    const summary = summarize({ ...row, reference: { what: "r", missing: "no python" }, reach: { ratio: 1 } });
    expect(summary.reference).toEqual({ what: "r", missing: "no python", figure: null });
    expect(summary.reached).toBeNull();
  });

  test.each<[reached: boolean, Row["better"], NonNullable<Row["reach"]>]>([
    [true, "more", { value: 2 }],
    [false, "more", { value: 2.1 }],
    [true, "less", { value: 2 }],
    [false, "less", { value: 1.9 }],
    [true, "more", { ratio: 0.5 }],
    [false, "more", { ratio: 0.6 }],
    [false, "less", { ratio: 0.4 }],
  ])("is reached: %s, where %s is better and %o is asked for", (reached, better, reach) => {
    expect(summarize({ ...row, better, reach, reference: { what: "r", values: [2, 4, 6] } }).reached).toBe(reached);
  });
});
