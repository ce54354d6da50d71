import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import type { Io } from "../../../src/cli/process/io.ts";
import { StreamOutput } from "../../../src/cli/process/io.ts";
import { passThrough } from "../../../src/cli/process/pass-through.ts";
import { MemoryOutput } from "../memory-output.ts";

function ioOf(stdout: Io["stdout"], stderr: Io["stderr"] = new MemoryOutput()): Io {
  return { stdout, stderr, stdin: new PassThrough(), env: {} };
}

describe("a job's output on its way through", () => {
  it("goes to the stream of the same name, and keeps nothing of the buffer it came in", () => {
    const [stdout, stderr] = [new MemoryOutput(), new MemoryOutput()];
    const through = passThrough(ioOf(stdout, stderr));
    const buffer = Buffer.from("out");
    void through.pass("stdout", buffer);
    buffer.fill("x");
    void through.pass("stderr", Buffer.from("err"));
    expect([stdout.text, stderr.text]).toEqual(["out", "err"]);
  });

  it("makes the job wait while the reader is slow", async () => {
    const slow = new PassThrough({ highWaterMark: 1 });
    const through = passThrough(ioOf(new StreamOutput(() => slow, false, {})));
    const room = through.pass("stdout", Buffer.alloc(1024 * 1024));
    expect(room).toBeInstanceOf(Promise);
    slow.resume();
    await room;
    expect(await through.end(() => 1000)).toEqual({ stdout: 0, stderr: 0 });
  });

  it("is counted and dropped when its reader stops reading", async () => {
    const still = new PassThrough({ highWaterMark: 1 });
    const through = passThrough(ioOf(new StreamOutput(() => still, false, {})));
    void through.pass("stdout", Buffer.alloc(3000));
    void through.pass("stdout", Buffer.alloc(40));
    expect(await through.end(() => 20)).toEqual({ stdout: 3040, stderr: 0 });
    // What comes later is counted, too, and not waited for.
    expect(through.pass("stdout", Buffer.alloc(2))).toBeUndefined();
  });

  it("is bounded by 4 MiB, whatever the job still prints while it ends, and goes on to the other reader", async () => {
    const still = new PassThrough({ highWaterMark: 1 });
    const stderr = new MemoryOutput();
    const through = passThrough(ioOf(new StreamOutput(() => still, false, {}), stderr));
    for (let piece = 0; piece < 100; piece++) void through.pass("stdout", Buffer.alloc(64 * 1024));
    void through.pass("stderr", Buffer.from("bye"));
    expect(still.writableLength).toBeLessThanOrEqual(4 * 1024 * 1024 + 64 * 1024);
    expect(through.behind()).toEqual({ stdout: 100 * 64 * 1024, stderr: 0 });
    expect(await through.end(() => 20)).toEqual({ stdout: 100 * 64 * 1024, stderr: 0 });
    expect(stderr.text).toBe("bye");
  });

  it("of the next attempt goes to a reader that was too slow while the one before ended, and reads again", async () => {
    const slow = new PassThrough({ highWaterMark: 1 });
    const through = passThrough(ioOf(new StreamOutput(() => slow, false, {})));
    for (let piece = 0; piece < 100; piece++) void through.pass("stdout", Buffer.alloc(64 * 1024));
    through.nextAttempt();
    const pieces: Buffer[] = [];
    slow.on("data", (piece: Buffer) => void pieces.push(piece));
    await new Promise((resolve) => slow.once("drain", resolve));
    void through.pass("stdout", Buffer.from("attempt 2"));
    const { stdout } = await through.end(() => 1000);
    const read = Buffer.concat(pieces);
    expect(read.subarray(-9).toString()).toBe("attempt 2");
    expect(stdout).toBe(100 * 64 * 1024 - (read.length - 9));
    expect(stdout).toBeGreaterThan(0);
    expect(through.behind()).toEqual({ stdout: 0, stderr: 0 });
  });

  it("waits for a reader as long as that reads, however slowly", async () => {
    const slow = new PassThrough({ highWaterMark: 1 });
    const through = passThrough(ioOf(new StreamOutput(() => slow, false, {})));
    void through.pass("stdout", Buffer.from("abc"));
    void through.pass("stdout", Buffer.from("def"));
    const pieces: string[] = [];
    const reading = setInterval(() => {
      const piece = slow.read() as Buffer | null;
      if (piece !== null) pieces.push(piece.toString());
    }, 60);
    expect(await through.end(() => 1000)).toEqual({ stdout: 0, stderr: 0 });
    clearInterval(reading);
    slow.read();
    expect(pieces.join("")).toMatch(/^abc/);
  });

  it("is let go when the reader has gone", async () => {
    const stdout = new MemoryOutput();
    const through = passThrough(ioOf(stdout));
    stdout.leave();
    void through.pass("stdout", Buffer.from("x"));
    expect(await through.end(() => 1000)).toEqual({ stdout: 0, stderr: 0 });
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
