import { describe, expect, test } from "vitest";
import { describeVerdict, guard, judge, limitOf, type Probe, record, type Recorded } from "./guard.ts";
import { thisMachine } from "./machine.ts";

const about = { how: "by hand", date: "2026-11-22", machine: thisMachine() };
const recorded: Recorded = {
  ...about,
  ratios: { speed: { what: "ours to theirs", better: "more", ratio: 0.3, rounds: [0.3] } },
};

const PATIENCE = 60_000;

/** A probe that gives these ratios in its tries. */
function probeOf(...tries: readonly (readonly number[])[]): Probe & { measured: number } {
  return {
    measured: 0,
    ratios: { speed: { what: "ours to theirs", better: "more" } },
    measure() {
      return Promise.resolve({ speed: tries[this.measured++] ?? [] });
    },
  };
}

describe("the limit", () => {
  test("is worse than the recorded ratio by a third", () => {
    expect(limitOf(0.3, "more")).toBeCloseTo(0.2);
    expect(limitOf(3, "less")).toBeCloseTo(4);
  });

  test.each([
    ["more", 0.21, true],
    ["more", 0.19, false],
    ["more", 9, true],
    ["less", 0.39, true],
    ["less", 0.41, false],
    ["less", 0.01, true],
  ] as const)("where %s is better and 0.3 is recorded: %d passes: %s", (better, found, passed) => {
    expect(judge({ name: "speed", what: "", better }, 0.3, [found]).passed).toBe(passed);
  });

  test("fails a ratio that could not be measured or was not recorded", () => {
    expect(judge({ name: "speed", what: "", better: "less" }, 0.3, [Number.NaN]).passed).toBe(false);
    expect(judge({ name: "speed", what: "", better: "more" }, undefined, [1]).passed).toBe(false);
  });
});

describe("the guard", () => {
  test("compares the median of the pairs with the limit", async () => {
    const probe = probeOf([0.01, 0.29, 0.28]);
    const [verdict] = await guard([probe], recorded, PATIENCE);
    expect(verdict).toMatchObject({ found: 0.28, recorded: 0.3, tries: 1, passed: true });
  });

  test("measures a failing ratio again, and the best try counts", async () => {
    const probe = probeOf([0.1], [0.12], [0.25]);
    expect(await guard([probe], recorded, PATIENCE)).toMatchObject([{ found: 0.25, tries: 3, passed: true }]);
  });

  test("gives up after three tries", async () => {
    const probe = probeOf([0.1], [0.12], [0.11], [0.3]);
    expect(await guard([probe], recorded, PATIENCE)).toMatchObject([{ found: 0.12, tries: 3, passed: false }]);
    expect(probe.measured).toBe(3);
  });

  test("does not measure again when its time is over", async () => {
    const probe = probeOf([0.1], [0.3]);
    expect(await guard([probe], recorded, -1)).toMatchObject([{ found: 0.1, tries: 1, passed: false }]);
  });

  test("fails a ratio that was not recorded at once", async () => {
    const probe = probeOf([0.5], [0.5]);
    expect(await guard([probe], { ...recorded, ratios: {} }, PATIENCE)).toMatchObject([{ tries: 1, passed: false }]);
  });

  test("reports the ratio's name, its recorded and found value and the limit", async () => {
    const [worse] = await guard([probeOf([0.1], [0.1], [0.1])], recorded, PATIENCE);
    expect(worse && describeVerdict(worse)).toBe(
      "WORSE  speed (ours to theirs): recorded 0.300, found 0.100, limit ≥ 0.200, best of 3 tries",
    );
    const [fine] = await guard([probeOf([0.3])], recorded, PATIENCE);
    expect(fine && describeVerdict(fine)).toBe(
      "ok     speed (ours to theirs): recorded 0.300, found 0.300, limit ≥ 0.200",
    );
  });
});

test("the median of all pairs is recorded, and the median of each round", async () => {
  const found = await record([probeOf([0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.2, 0.2, 0.2])], 3, about);
  expect(found).toEqual({
    ...about,
    ratios: { speed: { what: "ours to theirs", better: "more", ratio: 0.2, rounds: [0.2, 0.5, 0.2] } },
  });
});
