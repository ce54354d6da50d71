import { describe, expect, test } from "vitest";
import { Gate } from "../../../src/cli/terminal/gate.ts";

describe("The next frame may be sent", () => {
  test("when the terminal has drawn the one before", () => {
    const gate = new Gate();
    expect(gate.closedFor(0)).toBe(0);
    gate.sent(0);
    expect(gate.closedFor(100)).toBe(900);
    gate.answered(100);
    expect(gate.closedFor(100)).toBe(0);
    gate.sent(200);
    expect(gate.closedFor(3_000)).toBe(7_200);
    expect(gate.awaitsAnswer(3_000)).toBe(true);
    gate.answered(3_000);
    expect(gate.closedFor(3_000)).toBe(0);
  });

  test("at any time, if the terminal did not answer within a second", () => {
    const gate = new Gate();
    gate.sent(0);
    expect(gate.awaitsAnswer(999)).toBe(true);
    expect(gate.closedFor(1_000)).toBe(0);
    gate.sent(1_000);
    expect(gate.closedFor(1_001)).toBe(0);
    // Leaving does not wait for its answers, either.
    expect(gate.awaitsAnswer(1_001)).toBe(false);
  });

  test("after ten seconds, if one answer was lost; later answers count again", () => {
    const gate = new Gate();
    gate.sent(0);
    gate.answered(10);
    gate.sent(100);
    expect(gate.closedFor(10_100)).toBe(0);
    gate.sent(10_100);
    expect(gate.closedFor(10_200)).toBe(9_900);
    gate.answered(10_300);
    expect(gate.closedFor(10_300)).toBe(0);
  });
});

describe("A frame is as large as the terminal draws in a quarter of a second", () => {
  const afterFrames = (count: number, tookMs: number): number => {
    const gate = new Gate();
    for (let i = 0; i < count; i++) {
      gate.sent(0);
      gate.answered(tookMs);
    }
    return gate.frameSize;
  };

  test.each([
    ["a fast one", 20, 5, 65_536],
    ["a slow one", 20, 2_000, 512],
    ["one that is just right", 20, 200, 4_096],
    ["an unknown one", 0, 0, 4_096],
  ])("%s", (_, count, tookMs, size) => {
    expect(afterFrames(count, tookMs)).toBe(size);
  });
});
