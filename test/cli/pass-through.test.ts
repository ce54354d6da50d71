import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import type { Io } from "../../src/cli/io.ts";
import { StreamOutput } from "../../src/cli/io.ts";
import { passThrough } from "../../src/cli/pass-through.ts";
import { MemoryOutput } from "./memory-output.ts";

function ioOf(stdout: Io["stdout"], stderr: Io["stderr"] = new MemoryOutput()): Io {
  return { stdout, stderr, stdin: new PassThrough(), env: {} };
}

describe("a job's output on its way through", () => {
  it("goes to the stream of the same name, and keeps nothing of the buffer it came in", () => {
    const [stdout, stderr] = [new MemoryOutput(), new MemoryOutput()];
    const through = passThrough(ioOf(stdout, stderr));
    const buffer = Buffer.from("out");
    void through.take("stdout", buffer);
    buffer.fill("x");
    void through.take("stderr", Buffer.from("err"));
    expect([stdout.text, stderr.text]).toEqual(["out", "err"]);
  });

  it("makes the job wait while the reader is slow", async () => {
    const slow = new PassThrough({ highWaterMark: 1 });
    const through = passThrough(ioOf(new StreamOutput(() => slow, false, {})));
    const room = through.take("stdout", Buffer.alloc(1024 * 1024));
    expect(room).toBeInstanceOf(Promise);
    slow.resume();
    await room;
    await through.end();
  });

  it("is let go when the reader has gone", async () => {
    const stdout = new MemoryOutput();
    const through = passThrough(ioOf(stdout));
    stdout.leave();
    void through.take("stdout", Buffer.from("x"));
    await through.end();
    expect(stdout.text).toBe("");
  });
});

describe("an output whose reader goes", () => {
  it("says so, and lets go of those who wait for room", async () => {
    const stream = new PassThrough({ highWaterMark: 1 });
    const output = new StreamOutput(() => stream, false, {});
    const waiting = output.write("xx");
    stream.destroy(new Error("EPIPE"));
    await waiting;
    expect(output.gone.aborted).toBe(true);
    await output.write("more");
    await output.flush();
  });
});
