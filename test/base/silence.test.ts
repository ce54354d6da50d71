import { describe, expect, test } from "vitest";
import { SilenceClock } from "../../src/base/silence.ts";
import { ManualClock } from "../helpers/manual-clock.ts";

describe("A clock of silence", () => {
  test("counts from its making, and again from each message", () => {
    const clock = new ManualClock();
    const silence = new SilenceClock(clock);
    clock.advance(300);
    expect(silence.duration).toBe(300);
    silence.heard();
    expect(silence.duration).toBe(0);
    clock.advance(20);
    expect(silence.duration).toBe(20);
  });

  test("calls back in time with the whole silence", () => {
    const clock = new ManualClock();
    const silence = new SilenceClock(clock);
    const seen: number[] = [];
    silence.after(1000, 250, () => seen.push(silence.duration));
    clock.advance(1000);
    expect(seen).toEqual([1000]);
    expect(clock.pending).toBe(0);
  });

  test.each([
    ["no later than it tolerates: the silence counts", 250, 1250],
    ["later than it tolerates: this process was stopped, and the silence begins again", 251, 0],
  ])("is called back %s", (_, delay, expected) => {
    const clock = new ManualClock();
    const silence = new SilenceClock(clock);
    const seen: number[] = [];
    silence.after(1000, 250, () => seen.push(silence.duration));
    clock.stall(1000 + delay);
    expect(seen).toEqual([expected]);
  });

  test("forgets a check that is canceled", () => {
    const clock = new ManualClock();
    const seen: string[] = [];
    new SilenceClock(clock).after(1000, 250, () => seen.push("checked")).cancel();
    clock.advance(2000);
    expect(seen).toEqual([]);
  });
});
