import { describe, expect, it } from "vitest";
import { DueQueue } from "../../src/base/due-queue.ts";

/** Takes all items, the earliest first. */
function drain(queue: DueQueue<{ key: string; due: number }>): number[] {
  const dueTimes: number[] = [];
  for (let first = queue.first; first !== undefined; first = queue.first) {
    dueTimes.push(first.due);
    queue.delete(first.key);
  }
  return dueTimes;
}

/** The same numbers in each run. */
function* numbers(): Generator<number, never> {
  for (let seed = 7; ; seed = (seed * 48_271) % 2_147_483_647) yield seed;
}

describe("A queue of what is due", () => {
  it("gives the earliest first, whatever was set, moved and removed in between", () => {
    const queue = new DueQueue<{ key: string; due: number }>();
    const expected = new Map<string, number>();
    const random = numbers();
    for (let i = 0; i < 5_000; i++) {
      const key = `k${random.next().value % 300}`;
      const due = random.next().value % 1_000;
      if (due % 3 === 0) {
        queue.delete(key);
        expected.delete(key);
      } else {
        queue.set({ key, due });
        expected.set(key, due);
      }
      const dueTimes = [...expected.values()];
      expect(queue.first?.due).toBe(dueTimes.length === 0 ? undefined : Math.min(...dueTimes));
    }
    expect(queue.size).toBe(expected.size);
    for (const [key, due] of expected) expect(queue.get(key)?.due).toBe(due);
    expect(drain(queue)).toEqual([...expected.values()].toSorted((a, b) => a - b));
    expect(queue.size).toBe(0);
  });

  it("has each item once, at the time that was set last", () => {
    const queue = new DueQueue<{ key: string; due: number }>();
    for (const due of [5, 9, 1, 7]) queue.set({ key: "a", due });
    queue.set({ key: "b", due: 8 });
    expect(queue.size).toBe(2);
    queue.delete("none");
    expect(drain(queue)).toEqual([7, 8]);
    expect(queue.first).toBeUndefined();
  });
});
