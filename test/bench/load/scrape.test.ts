import { expect, test } from "vitest";
import { Scrape } from "./scrape.ts";

const text = (fast: number, slow: number): string => `# HELP lag Time.
# TYPE lag histogram
lag_bucket{le="0.01"} ${fast}
lag_bucket{le="0.1"} ${fast + slow}
lag_bucket{le="+Inf"} ${fast + slow}
lag_sum 1.5
lag_count ${fast + slow}
jobs{state="running"} 3
jobs{state="pending"} 4
`;

test("a value is summed over its labels", () => {
  expect(new Scrape(text(1, 1)).value("jobs")).toBe(7);
  expect(new Scrape(text(1, 1)).value("cats")).toBeNaN();
});

test("a percentile is the upper bound of its bucket, over the values since an earlier scrape", () => {
  const before = new Scrape(text(90, 10));
  const after = new Scrape(text(100, 100));
  expect(after.percentile("lag", 0.1, before)).toBe(0.01);
  expect(after.percentile("lag", 0.5, before)).toBe(0.1);
  expect(before.percentile("lag", 0.5, before)).toBeNaN();
});
