import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LogLimit } from "../../../../src/agent/report/output/log-limit.ts";
import { LogStream } from "../../../../src/gen/belay/v1/job_pb.ts";

function limited(limit: number): { log: LogLimit; kept: [LogStream, string][]; notices: string[] } {
  const kept: [LogStream, string][] = [];
  const notices: string[] = [];
  const log = new LogLimit(
    limit,
    (stream, _step, data) => kept.push([stream, Buffer.from(data).toString()]) > 0,
    (step, message) => notices.push(`${step}: ${message}`),
  );
  return { log, kept, notices };
}

describe("a log limit", () => {
  test("keeps exactly this many bytes, of all streams together, and reports that once", () => {
    const { log, kept, notices } = limited(10);
    log.pass(LogStream.STDOUT, 1, Buffer.from("123456"), 1n);
    log.pass(LogStream.STDERR, 1, Buffer.from("abcdef"), 2n);
    log.pass(LogStream.STDOUT, 2, Buffer.from("78"), 3n);
    log.pass(LogStream.STDOUT, 2, Buffer.from("9"), 4n);
    expect(kept).toEqual([
      [LogStream.STDOUT, "123456"],
      [LogStream.STDERR, "abcd"],
    ]);
    expect(notices).toEqual(["1: Log limit of 10 B reached: later output is not kept"]);
    expect(log.summary).toBe("Log limit of 10 B: 5 B of later output were not kept");
    expect(log.cutEnds).toEqual([
      { stream: LogStream.STDERR, step: 1, readUnixNano: 2n, bytes: 2 },
      { stream: LogStream.STDOUT, step: 2, readUnixNano: 3n, bytes: 3 },
    ]);
  });

  test("that is reached but not passed cuts nothing and reports nothing", () => {
    const { log, kept, notices } = limited(4);
    log.pass(LogStream.STDOUT, 1, Buffer.from("1234"), 1n);
    expect(kept).toHaveLength(1);
    expect(notices).toEqual([]);
    expect(log.summary).toBeUndefined();
    expect(log.cutEnds).toEqual([]);
  });

  test("of 0 means no limit", () => {
    const { log, kept } = limited(0);
    for (let n = 0; n < 100; n++) log.pass(LogStream.STDOUT, 1, Buffer.alloc(65_536), 1n);
    expect(kept).toHaveLength(100);
  });

  test("shows sizes with units", () => {
    const { log, notices } = limited(10 * 2 ** 20);
    for (let n = 0; n < 161; n++) log.pass(LogStream.STDOUT, 1, Buffer.alloc(65_536), 1n);
    expect(notices).toEqual(["1: Log limit of 10.0 MiB reached: later output is not kept"]);
    expect(log.summary).toBe("Log limit of 10.0 MiB: 64.0 KiB of later output were not kept");
  });

  test("never makes the job wait by itself", () => {
    const log = new LogLimit(
      3,
      () => false,
      () => undefined,
    );
    expect(log.pass(LogStream.STDOUT, 1, Buffer.from("ab"), 1n)).toBe(false);
    expect(log.pass(LogStream.STDOUT, 1, Buffer.from("cd"), 1n)).toBe(false);
    expect(log.pass(LogStream.STDOUT, 1, Buffer.from("ef"), 1n)).toBe(true);
  });

  test("counts every byte: what is kept and what is cut is what came, for each stream", () => {
    const chunk = fc.tuple(
      fc.constantFrom(LogStream.STDOUT, LogStream.STDERR),
      fc.string({ maxLength: 20, unit: "binary-ascii" }),
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 300 }), fc.array(chunk, { maxLength: 40 }), (limit, chunks) => {
        const { log, kept } = limited(limit);
        for (const [stream, text] of chunks) log.pass(stream, 1, Buffer.from(text), 1n);
        const of = (list: [LogStream, string][], stream: LogStream): string =>
          list.flatMap(([from, text]) => (from === stream ? [text] : [])).join("");
        for (const stream of [LogStream.STDOUT, LogStream.STDERR]) {
          const cut = log.cutEnds.find((end) => end.stream === stream)?.bytes ?? 0;
          const printed = of(chunks, stream);
          expect(of(kept, stream)).toBe(printed.slice(0, printed.length - cut));
        }
        const total = chunks.reduce((sum, [, text]) => sum + text.length, 0);
        expect(kept.reduce((sum, [, text]) => sum + text.length, 0)).toBe(Math.min(limit, total));
      }),
    );
  });
});
