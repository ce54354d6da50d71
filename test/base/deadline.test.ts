import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { within } from "../../src/base/deadline.ts";
import { ManualClock } from "../helpers/manual-clock.ts";

const late = (): string => "late";
const never = new Promise<string>(() => undefined);

describe("A promise with a deadline", () => {
  test("gives its own result when it is in time, and leaves no timer", async () => {
    const clock = new ManualClock();
    expect(await within(100, Promise.resolve("done"), late, clock)).toBe("done");
    expect(clock.pending).toBe(0);
  });

  test("fails as the promise does, and leaves no timer", async () => {
    const clock = new ManualClock();
    await expect(within(100, Promise.reject(new Error("broken")), late, clock)).rejects.toThrow("broken");
    expect(clock.pending).toBe(0);
  });

  test("waits until the deadline and no longer, then gives what `late` returns", async () => {
    const clock = new ManualClock();
    let result = "";
    const waiting = within(100, never, late, clock).then((value) => (result = value));
    clock.advance(99);
    await turn();
    expect(result).toBe("");
    clock.advance(1);
    await waiting;
    expect(result).toBe("late");
  });

  test("fails with what `late` throws", async () => {
    const clock = new ManualClock();
    const waiting = within(
      100,
      never,
      () => {
        throw new Error("too late");
      },
      clock,
    );
    clock.advance(100);
    await expect(waiting).rejects.toThrow("too late");
  });

  test("does not call `late` in time, and ignores a promise that fails after the deadline", async () => {
    const clock = new ManualClock();
    const calls: string[] = [];
    await within(100, Promise.resolve(), () => calls.push("late"), clock);
    clock.advance(200);
    expect(calls).toEqual([]);
    const slow = Promise.withResolvers<string>();
    const waiting = within(100, slow.promise, late, clock);
    clock.advance(100);
    expect(await waiting).toBe("late");
    // Vitest fails the run for a rejection that is not handled.
    slow.reject(new Error("broken"));
    await turn();
  });

  test("keeps the process alive by itself", async () => {
    expect(await within(5, never, late)).toBe("late");
  });
});
