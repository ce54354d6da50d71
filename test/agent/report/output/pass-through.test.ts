import { describe, expect, test } from "vitest";
import { PassThrough } from "../../../../src/agent/report/output/pass-through.ts";
import { LogStream } from "../../../../src/gen/belay/v1/job_pb.ts";

const DATA = Buffer.from("x");

describe("A program that output is passed on to", () => {
  test("has no effect when it accepts everything at once", () => {
    const received: string[] = [];
    const through = new PassThrough({ onOutput: (stream) => void received.push(stream) });
    expect(through.pass(LogStream.STDOUT, DATA)).toBe(true);
    expect(through.pass(LogStream.STDERR, DATA)).toBe(true);
    expect(received).toEqual(["stdout", "stderr"]);
    expect(through.full).toBe(false);
  });

  test("is waited for until all of its promises are settled", async () => {
    const first = Promise.withResolvers<void>();
    const second = Promise.withResolvers<void>();
    const promises = [first.promise, second.promise];
    const through = new PassThrough({ onOutput: () => promises.shift() });
    const full: boolean[] = [];
    through.onRoom = () => full.push(through.full);
    expect([through.pass(LogStream.STDOUT, DATA), through.pass(LogStream.STDOUT, DATA)]).toEqual([false, false]);
    first.resolve();
    await first.promise;
    second.reject(new Error("The program's own"));
    await expect.poll(() => full).toEqual([true, false]);
  });

  test("is not waited for once the job is ending", () => {
    const through = new PassThrough({ onOutput: () => new Promise<void>(() => undefined) });
    let room = 0;
    through.onRoom = () => room++;
    expect(through.pass(LogStream.STDOUT, DATA)).toBe(false);
    through.waitNoLonger();
    expect([room, through.full]).toEqual([1, false]);
    expect(through.pass(LogStream.STDOUT, DATA)).toBe(true);
  });

  test("is waited for again by steps after the end, until it has accepted nothing for some time", async () => {
    const promises = [Promise.withResolvers<void>(), Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const left = [...promises];
    const through = new PassThrough({ onOutput: () => left.shift()?.promise });
    through.waitNoLonger();
    through.waitAtMost(40);
    expect([through.pass(LogStream.STDOUT, DATA), through.full]).toEqual([false, true]);
    promises[0]?.resolve();
    await expect.poll(() => through.full).toBe(false);
    const start = performance.now();
    expect(through.pass(LogStream.STDOUT, DATA)).toBe(false);
    await expect.poll(() => through.full).toBe(false);
    expect(performance.now() - start).toBeGreaterThan(35);
    // Once it was too slow, it is not waited for again.
    through.waitAtMost(40);
    expect([through.pass(LogStream.STDOUT, DATA), through.full]).toEqual([true, false]);
  });

  test("is named in the log with the bytes that it has not passed on", () => {
    const through = new PassThrough({ outputBehind: () => ({ stdout: 0, stderr: 1 }) });
    expect(through.behind).toEqual([
      "When the job had ended, 1 byte of its standard error had not been passed through: " +
        "the reader is slow or has stopped reading. This log has them",
    ]);
  });
});
