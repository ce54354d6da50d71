import { describe, expect, it } from "vitest";
import { progressBar } from "../../../src/cli/render/progress-bar.ts";

describe("a progress bar", () => {
  it.each<[number, string, string]>([
    [0, "░░░░░░░░░░", "[--------]"],
    [0.0001, "▏░░░░░░░░░", "[#-------]"],
    [0.42, "████▎░░░░░", "[###-----]"],
    [0.5, "█████░░░░░", "[####----]"],
    [0.9999, "█████████▉", "[#######-]"],
    [1, "██████████", "[########]"],
    [7, "██████████", "[########]"],
    [-1, "░░░░░░░░░░", "[--------]"],
    [Number.NaN, "░░░░░░░░░░", "[--------]"],
  ])("of %d: empty only at 0, full only at 1", (fraction, blocks, ascii) => {
    expect(progressBar(fraction, 10)).toBe(blocks);
    expect(progressBar(fraction, 10, { ascii: true })).toBe(ascii);
  });

  it("has exactly the requested width, however narrow", () => {
    for (const width of [0, 1, 2, 3]) {
      for (const fraction of [0, 0.5, 1]) {
        expect(progressBar(fraction, width)).toHaveLength(width);
        expect(progressBar(fraction, width, { ascii: true })).toHaveLength(width);
      }
    }
  });
});
