import { describe, expect, it } from "vitest";
import { didYouMean, nearest } from "../../../src/base/text/did-you-mean.ts";

describe("a mistyped word", () => {
  it.each([
    ["stauts", "status"],
    ["cancle", "cancel"],
    ["log", "logs"],
    ["JOBS", "jobs"],
  ])("%s is taken for %s", (word, found) => {
    expect(nearest(word, ["status", "cancel", "logs", "jobs", "show"])).toBe(found);
  });

  it("is left alone if nothing is near", () => {
    expect(nearest("frobnicate", ["status", "cancel"])).toBeUndefined();
    expect(didYouMean("frobnicate", ["status"])).toBe("");
  });
});
