import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cutText, fitText, glyphs, textWidth } from "../../../src/cli/terminal/text-width.ts";

describe("The width of a text", () => {
  test.each([
    ["plain", 5],
    ["naïve", 5],
    ["nai\u0308ve", 5],
    ["流体", 4],
    ["한글", 4],
    ["\u1112\u1161\u11ab", 2],
    ["ﾊﾝｶｸ", 4],
    ["🚀", 2],
    ["👩‍👩‍👧‍👦", 2],
    ["🇩🇪", 2],
    ["❤️", 2],
    ["❤", 1],
    ["1️⃣", 2],
    ["█▌░", 3],
    ["a\u200bb", 2],
    ["", 0],
  ])("of %j is %i", (text, width) => {
    expect(textWidth(text)).toBe(width);
  });
});

describe("A text that is too long", () => {
  test.each([
    ["train-resnet", 6, "train…"],
    ["train", 5, "train"],
    ["流体シミュ", 6, "流体…"],
    ["流体シミュ", 5, "流体…"],
    ["👩‍👩‍👧‍👦👩‍👩‍👧‍👦", 3, "👩‍👩‍👧‍👦…"],
    ["abc", 1, "…"],
    ["abc", 0, ""],
  ])("%j on %i columns is %j", (text, width, cut) => {
    expect(cutText(text, width)).toBe(cut);
  });

  test("is cut or padded to exactly the requested width, whatever it contains", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.integer({ min: 1, max: 20 }), (text, width) => {
        expect(textWidth(fitText(text, width))).toBe(width);
        expect(textWidth(fitText(text, width, "right"))).toBe(width);
      }),
    );
  });

  test("costs only as much as is shown of it", () => {
    const start = performance.now();
    for (let i = 0; i < 100; i++) cutText(`流${"a".repeat(1_000_000)}`, 80);
    // 0.2 s, for 80 columns of each; the texts are 100 MB together.
    expect(performance.now() - start).toBeLessThan(2_000);
  });
});

test("An emoji of a family is one character of two columns", () => {
  expect([...glyphs("a👩‍👩‍👧‍👦")]).toEqual([
    { text: "a", width: 1 },
    { text: "👩‍👩‍👧‍👦", width: 2 },
  ]);
});
