import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Tail, TAIL_BYTES } from "../../../../src/agent/report/output/tail.ts";
import { LogStream } from "../../../../src/gen/belay/v1/job_pb.ts";

const { STDOUT, STDERR } = LogStream;

function tail(...pieces: readonly (readonly [LogStream, number, string])[]): Tail {
  const made = new Tail(2);
  for (const [stream, step, text] of pieces) made.add(stream, step, Buffer.from(text));
  return made;
}

function textOf(made: Tail, step: number): string | undefined {
  const end = made.of(step);
  return end === undefined ? undefined : Buffer.from(end.bytes).toString();
}

describe("The tail of a step's output", () => {
  it("is of standard output until standard error has something", () => {
    const made = tail([STDOUT, 1, "one\n"]);
    expect(made.of(1)).toMatchObject({ stream: STDOUT });
    expect(textOf(made, 1)).toBe("one\n");
    made.add(STDERR, 1, Buffer.from("bad\n"));
    made.add(STDOUT, 1, Buffer.from("two\n"));
    expect(made.of(1)).toMatchObject({ stream: STDERR });
    expect(textOf(made, 1)).toBe("bad\n");
  });

  it("is of the latest step that decides the result: a later step's output replaces it, a step after the end's does not", () => {
    const made = tail([STDERR, 1, "setup\n"], [STDOUT, 2, "main\n"], [STDERR, 1, "late\n"], [STDERR, 3, "after\n"]);
    expect(textOf(made, 2)).toBe("main\n");
    expect(textOf(made, 1)).toBeUndefined();
    expect(textOf(made, 3)).toBeUndefined();
  });

  it("is absent when the step printed nothing", () => {
    expect(tail([STDERR, 1, "setup\n"]).of(2)).toBeUndefined();
  });

  it("begins with a line, where its lines are not longer than it is", () => {
    const line = `${"x".repeat(99)}\n`;
    expect(textOf(tail([STDERR, 1, line.repeat(41)]), 1)).toBe(line.repeat(40));
    const exact = `${"y".repeat(TAIL_BYTES - 1)}\n`;
    expect(textOf(tail([STDERR, 1, `${line}${exact}`]), 1)).toBe(exact);
    expect(textOf(tail([STDERR, 1, exact]), 1)).toBe(exact);
  });

  it("begins with a character in a longer line", () => {
    const text = textOf(tail([STDERR, 1, `x${"é".repeat(5000)}\n`]), 1);
    expect(text).toBe(`${"é".repeat(TAIL_BYTES / 2 - 1)}\n`);
  });

  it("does not depend on how the output is cut into pieces", () => {
    const pieces = fc.array(fc.nat({ max: 9000 }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(pieces, fc.integer({ min: 1, max: 6000 }), (sizes, lineLength) => {
        const all = Buffer.alloc(sizes.reduce((sum, size) => sum + size, 0));
        for (let i = 0; i < all.length; i++) all[i] = (i + 1) % lineLength === 0 ? 10 : 97 + (i % 26);
        const whole = new Tail(1);
        const cut = new Tail(1);
        let at = 0;
        for (const size of sizes) cut.add(STDERR, 1, all.subarray(at, (at += size)));
        whole.add(STDERR, 1, all);
        const bytes = cut.of(1)?.bytes;
        expect(bytes).toEqual(whole.of(1)?.bytes);
        if (bytes === undefined) return;
        expect(bytes.length).toBeLessThanOrEqual(TAIL_BYTES);
        expect(Buffer.compare(bytes, all.subarray(all.length - bytes.length))).toBe(0);
        const from = all.length - bytes.length;
        if (lineLength < TAIL_BYTES) expect(from === 0 || all[from - 1] === 10).toBe(true);
      }),
    );
  });
});
