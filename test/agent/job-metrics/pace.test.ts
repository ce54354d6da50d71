import { expect, it } from "vitest";
import { eventInterval } from "../../../src/agent/job-metrics/pace.ts";

it("while the tracker is away for a week, a few thousand events wait, not hundreds of thousands", () => {
  expect(eventInterval(0)).toBe(1000);
  expect(eventInterval(256)).toBe(1000);
  let waiting = 0;
  for (let ms = 0; ms < 7 * 86_400_000; ms += eventInterval(waiting)) waiting++;
  expect(waiting).toBeGreaterThan(500);
  expect(waiting).toBeLessThan(2500);
});
