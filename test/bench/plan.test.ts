import { setTimeout as wait } from "node:timers/promises";
import { expect, test } from "vitest";
import { type Plan, rounds } from "./plan.ts";

function planOf(limit: number, runs?: number): Plan & { notes: string[] } {
  const notes: string[] = [];
  return { runs, deadline: performance.now() + limit, notes, note: (message) => notes.push(message) };
}

test("the requested number of rounds is done, or else the usual one", async () => {
  const done: number[] = [];
  await rounds(planOf(60_000), 3, async (index) => void done.push(index));
  await rounds(planOf(60_000, 2), 3, async (index) => void done.push(index));
  expect(done).toEqual([0, 1, 2, 0, 1]);
});

test("no round is begun that would exceed the deadline, and a note reports it", async () => {
  const plan = planOf(2_000);
  let done = 0;
  await rounds(plan, 5, async () => {
    done++;
    await wait(1_200);
  });
  expect(done).toBe(1);
  expect(plan.notes).toEqual(["1 of 5 rounds: the time is over"]);
});

test("a round that is under way at the deadline is given up", async () => {
  const plan = planOf(500);
  const { promise: never } = Promise.withResolvers<void>();
  await rounds(plan, 5, (index) => (index < 2 ? Promise.resolve() : never));
  expect(plan.notes).toEqual(["2 of 5 rounds: the time is over"]);
});

test("a round that fails ends the benchmark", async () => {
  const failing = async (index: number): Promise<void> => {
    if (index === 1) throw new Error("no more");
  };
  await expect(rounds(planOf(60_000), 5, failing)).rejects.toThrow("no more");
});

test("the first round is always done, however late it is", async () => {
  let done = 0;
  await rounds(planOf(-1), 5, async () => void done++);
  expect(done).toBe(1);
});
