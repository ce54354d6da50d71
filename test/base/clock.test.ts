import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { MAX_TIMEOUT_MS, sleep, systemClock } from "../../src/base/clock.ts";

const DAY_MS = 86_400_000;

describe("a delay beyond 2^31 ms, which is too long for Node's timers", () => {
  beforeEach(() => vi.useFakeTimers());
  afterEach(() => vi.useRealTimers());

  it.each([MAX_TIMEOUT_MS + 1, 30 * DAY_MS, 100 * DAY_MS])("is kept: %d ms", async (ms) => {
    const called = vi.fn<() => void>();
    systemClock.after(ms, called);
    const slept = vi.fn<() => void>();
    void sleep(ms).then(slept);
    await vi.advanceTimersByTimeAsync(ms - 1);
    expect(called).not.toHaveBeenCalled();
    expect(slept).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(called).toHaveBeenCalledOnce();
    expect(slept).toHaveBeenCalledOnce();
    expect(vi.getTimerCount()).toBe(0);
  });

  it("can be canceled at any time", async () => {
    const called = vi.fn<() => void>();
    const timer = systemClock.after(60 * DAY_MS, called);
    await vi.advanceTimersByTimeAsync(40 * DAY_MS);
    timer.cancel();
    expect(vi.getTimerCount()).toBe(0);
    await vi.advanceTimersByTimeAsync(40 * DAY_MS);
    expect(called).not.toHaveBeenCalled();
  });

  it("without an end never fires", async () => {
    const called = vi.fn<() => void>();
    const timer = systemClock.after(Number.POSITIVE_INFINITY, called);
    await vi.advanceTimersByTimeAsync(400 * DAY_MS);
    expect(called).not.toHaveBeenCalled();
    timer.cancel();
  });
});

it("milliseconds and nanoseconds since the epoch are the same moment, and close to the machine's clock", () => {
  const before = Number(systemClock.unixNano() / 1_000_000n);
  const ms = systemClock.unixMs();
  expect(ms).toBeGreaterThanOrEqual(before);
  expect(ms).toBeLessThanOrEqual(Number(systemClock.unixNano() / 1_000_000n));
  expect(Math.abs(ms - Date.now())).toBeLessThan(1000);
});
