import { expect, test } from "vitest";
import { PauseClock } from "../../../src/agent/job/pause-clock.ts";
import { sleep } from "../../../src/base/clock.ts";

test("A pause counts from its begin to its end, and an end without a pause counts nothing", async () => {
  const clock = new PauseClock();
  clock.end();
  expect(clock.pausedMs).toBe(0);
  clock.begin();
  await sleep(20);
  clock.end();
  const { pausedMs } = clock;
  expect(pausedMs).toBeGreaterThan(15);
  clock.end();
  expect(clock.pausedMs).toBe(pausedMs);
});
