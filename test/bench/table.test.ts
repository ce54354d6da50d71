import { expect, test } from "vitest";
import { type Row, summarize } from "./row.ts";
import { markdownTable, number, plainTable } from "./table.ts";

const rows: readonly Row[] = [
  {
    key: "throughput.rate",
    what: "throughput",
    unit: "MB/s",
    better: "more",
    ours: [240, 250, 260],
    reference: { what: "job | cat", values: [1200, 1000, 1300] },
    reach: { ratio: 0.8 },
  },
  { key: "idle.rss", what: "idle", unit: "MB", better: "less", ours: [74.21], reach: { value: 75 } },
  {
    key: "start",
    what: "start",
    unit: "ms",
    better: "less",
    ours: [180],
    reference: { what: "python", missing: "not installed" },
  },
];

test("the table has a line for each row, with figure, reference, ratio and whether the goal is reached", () => {
  expect(plainTable(rows.map(summarize)).split("\n")).toEqual([
    "what        ours      spread   reference              spread     ratio   to reach  reached",
    "throughput  250 MB/s  240–260  1200 MB/s (job | cat)  1000–1300  0.200×  ≥ 0.8×    no",
    "idle        74.2 MB                                                      ≤ 75 MB   yes",
    "start       180 ms             none: not installed",
  ]);
});

test("in Markdown, no cell breaks the table", () => {
  const [head, rule, first] = markdownTable(rows.map(summarize)).split("\n");
  expect(head).toBe("| what | ours | spread | reference | spread | ratio | to reach | reached |");
  expect(rule).toBe("| --- | --- | --- | --- | --- | --- | --- | --- |");
  expect(first).toBe(
    String.raw`| throughput | 250 MB/s | 240–260 | 1200 MB/s (job \| cat) | 1000–1300 | 0.200× | ≥ 0.8× | no |`,
  );
});

test("a number has three significant digits", () => {
  expect([1234.5, 99.94, 5.012, 0.0421].map(number)).toEqual(["1235", "99.9", "5.01", "0.042"]);
});
