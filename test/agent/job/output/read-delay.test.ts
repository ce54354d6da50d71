import { afterEach, beforeEach, describe, expect, type MockInstance, test, vi } from "vitest";
import { ReadDelay } from "../../../../src/agent/job/output/read-delay.ts";

const PIPE = 65_536;

describe("After a read", () => {
  let now = 0;
  let slept: MockInstance;
  beforeEach(() => {
    now = 1000;
    vi.spyOn(performance, "now").mockImplementation(() => now);
    slept = vi.spyOn(Atomics, "wait").mockImplementation((...args: unknown[]) => {
      now += args[3] as number;
      return "timed-out";
    });
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });

  /** Reads so often, so many milliseconds after the one before. @returns naps */
  const read = (readDelay: ReadDelay, times: number, after: number, bytes = 100): number => {
    const before = slept.mock.calls.length;
    for (let i = 0; i < times; i++) {
      now += after;
      readDelay.afterRead(bytes);
    }
    return slept.mock.calls.length - before;
  };

  test("the agent sleeps when many small ones came, each soon after the one before", () => {
    const readDelay = new ReadDelay(PIPE);
    expect(read(readDelay, 16, 0.05)).toBe(0);
    expect(read(readDelay, 10, 0.05)).toBe(10);
    expect(slept.mock.calls[0]?.[3]).toBe(0.2);
  });

  test("it does not when they are sparse, and no more once they are", () => {
    const readDelay = new ReadDelay(PIPE);
    expect(read(readDelay, 100, 0.2)).toBe(0);
    read(readDelay, 30, 0.05);
    expect(read(readDelay, 1, 0.2)).toBe(0);
    expect(read(readDelay, 15, 0.05)).toBe(0);
  });

  test("it does not when the pipe is nearly full: the job would wait", () => {
    const readDelay = new ReadDelay(PIPE);
    read(readDelay, 30, 0.05);
    for (const bytes of [PIPE, 50_000]) expect(read(readDelay, 10, 0.05, bytes)).toBe(0);
    expect(read(readDelay, 1, 0.05)).toBe(1);
  });
});
