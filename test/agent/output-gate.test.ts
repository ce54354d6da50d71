import { describe, expect, test } from "vitest";
import { OutputGate } from "../../src/agent/output-gate.ts";
import type { Backpressure } from "../../src/agent/report/output/backpressure.ts";
import { LogStream } from "../../src/gen/belay/v1/job_pb.ts";

interface FakeBackpressure extends Backpressure {
  full: boolean;
}

function fakeBackpressure(): FakeBackpressure {
  return { full: false, onRoom: () => undefined };
}

function gate(): {
  gate: OutputGate;
  spool: FakeBackpressure & { acked: number };
  program: FakeBackpressure;
  accepted: string[];
  resumed: () => number;
  over: AbortController;
} {
  const spool = { ...fakeBackpressure(), acked: 0, committed: () => spool.acked };
  const program = fakeBackpressure();
  const over = new AbortController();
  const accepted: string[] = [];
  let resumed = 0;
  const made = new OutputGate({
    sink: (_stream, _step, data) => accepted.push(Buffer.from(data).toString()) > 0 && !spool.full,
    spool,
    passThrough: program,
    resume: () => resumed++,
    over: over.signal,
  });
  return { gate: made, spool, program, accepted, resumed: () => resumed, over };
}

const print = ({ accept }: OutputGate, text: string): boolean => accept(LogStream.STDOUT, 1, Buffer.from(text), 1n);

describe("The gate of the job's output", () => {
  test("has the pipes read again only when neither the spool nor the program is full", () => {
    const { spool, program, resumed } = gate();
    spool.full = true;
    program.onRoom();
    spool.full = false;
    program.full = true;
    spool.onRoom();
    expect(resumed()).toBe(0);
    program.full = false;
    spool.onRoom();
    program.onRoom();
    expect(resumed()).toBe(2);
  });

  test("throws output away once the tracker will not commit it, and counts it", () => {
    const { gate: made, spool, accepted, resumed } = gate();
    spool.full = true;
    expect(print(made, "kept")).toBe(false);
    expect(made.discardedText).toBeUndefined();
    made.discard();
    expect(resumed()).toBe(1);
    expect(print(made, "12345")).toBe(true);
    expect(accepted).toEqual(["kept"]);
    expect(made.discardedText).toBe(
      "5 bytes of output were not kept: the spool was full and the tracker committed nothing",
    );
  });

  test("discards at the job's end after a time in which the spool was full and nothing was committed", async () => {
    const { gate: made, spool, resumed, over } = gate();
    spool.full = true;
    made.endStalemate(100);
    spool.acked = 1;
    expect(resumed()).toBe(0);
    await expect.poll(resumed).toBe(1);
    expect(print(made, "x")).toBe(true);
    over.abort();
  });

  test("does not discard while the spool has room", async () => {
    const { gate: made, resumed, over } = gate();
    made.endStalemate(20);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(resumed()).toBe(0);
    over.abort();
  });
});
