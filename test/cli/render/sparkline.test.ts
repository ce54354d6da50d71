import { describe, expect, it } from "vitest";
import { sparkline } from "../../../src/cli/render/sparkline.ts";

describe("a sparkline", () => {
  it.each<[string, (number | undefined)[], number, Parameters<typeof sparkline>[2], string]>([
    ["has a column for each value while there is room", [0, 1, 2, 3, 4, 5, 6, 7], 20, {}, "▁▂▃▄▅▆▇█"],
    ["keeps the peak of values that share a column", [1, 1, 9, 1, 1, 1, 1, 1], 4, { max: 9 }, "▂█▂▂"],
    ["shows what is not known as a gap", [1, undefined, 2, Number.NaN, 4], 9, {}, "▃ ▅ █"],
    ["begins at 0, so that a steady value is no zero", [5, 5, 5], 9, {}, "███"],
    ["is flat at nothing", [0, 0, 0], 9, {}, "▁▁▁"],
    ["shows a difference between little and nothing", [0, 0.001, 1], 9, {}, "▁▂█"],
    ["begins below 0 where values do", [-4, 0, 4], 9, {}, "▁▅█"],
    ["cuts off what is above the top", [1, 100], 9, { max: 2 }, "▅█"],
    ["takes a bottom of its own", [10, 11, 12], 9, { min: 10 }, "▁▅█"],
    ["is empty without values", [], 9, {}, ""],
    ["is empty without room", [1, 2], 0, {}, ""],
    ["is blank where nothing is known", [undefined, undefined], 9, {}, "  "],
    ["holds infinities", [0, Number.POSITIVE_INFINITY, 5], 9, {}, "▁█▂"],
    ["is ASCII for terminals that know no more", [0, 1, 2, 3, 4, 5, 6, 7], 8, { ascii: true }, ".:-=+*#@"],
  ])("%s", (_, values, width, options, expected) => {
    expect(sparkline(values, width, options)).toBe(expected);
  });

  it("is never wider than allowed, and uses the whole width", () => {
    for (const count of [79, 80, 81, 1000]) {
      const values = Array.from({ length: count }, (_, i) => i);
      expect(sparkline(values, 80)).toHaveLength(Math.min(count, 80));
    }
  });
});
