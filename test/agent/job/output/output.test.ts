import { spawn } from "node:child_process";
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { JobOutput } from "../../../../src/agent/job/output/output.ts";
import { Pipes } from "../../../../src/agent/job/start/pipes.ts";
import { LogStream } from "../../../../src/gen/belay/v1/job_pb.ts";
import { eventually } from "../facts.ts";

let parent: string;
beforeEach(() => {
  parent = fs.mkdtempSync(join(tmpdir(), "belay-test-"));
});
afterEach(() => fs.rmSync(parent, { recursive: true, force: true }));

const environment = { PATH: process.env["PATH"] ?? "" };

describe("Pipes", () => {
  it("are private, have no name once taken, and leave nothing", async () => {
    const pipes = new Pipes(environment, parent);
    expect(fs.statSync(pipes.directory).mode & 0o777).toBe(0o700);
    pipes.provide(2);
    pipes.provide(3);
    const ends = [await pipes.take(), await pipes.take(), await pipes.take(), await pipes.take()];
    expect(fs.readdirSync(pipes.directory)).toEqual([]);
    for (const { readEnd, writeEnd } of ends) {
      fs.writeSync(writeEnd, "x");
      expect(fs.readSync(readEnd, Buffer.alloc(9))).toBe(1);
      fs.closeSync(readEnd);
      fs.closeSync(writeEnd);
    }
    await pipes.close();
    expect(fs.existsSync(pipes.directory)).toBe(false);
  });

  it("that another process makes are used as soon as it has made them", async () => {
    const pipes = new Pipes(environment, parent);
    const names = pipes.delegate(2);
    const first = pipes.take();
    expect(fs.readdirSync(pipes.directory)).toEqual([]);
    spawn("mkfifo", names);
    const ends = [await first, await pipes.take(), await pipes.take()];
    expect(new Set(ends.flatMap(({ readEnd, writeEnd }) => [readEnd, writeEnd])).size).toBe(6);
    for (const { readEnd, writeEnd } of ends) for (const fd of [readEnd, writeEnd]) fs.closeSync(fd);
    await pipes.close();
  });

  it("are made here when the other process does not", async () => {
    const pipes = new Pipes(environment, parent);
    const [name = ""] = pipes.delegate(2);
    spawn("mkfifo", [name]);
    const { readEnd, writeEnd } = await pipes.take();
    fs.writeSync(writeEnd, "x");
    expect(fs.readSync(readEnd, Buffer.alloc(9))).toBe(1);
    for (const fd of [readEnd, writeEnd]) fs.closeSync(fd);
    await pipes.close();
    expect(fs.existsSync(pipes.directory)).toBe(false);
  });

  it("that cannot be made are reported as an error", async () => {
    const pipes = new Pipes({ PATH: "/nowhere" }, parent);
    await expect(pipes.take()).rejects.toThrow('Cannot make pipes for the job with "mkfifo": spawn mkfifo ENOENT');
    await pipes.close();
    const delegated = new Pipes({ PATH: "/nowhere" }, parent);
    delegated.delegate(1);
    await expect(delegated.take()).rejects.toThrow('Cannot make pipes for the job with "mkfifo": spawn mkfifo ENOENT');
    await delegated.close();
  });
});

describe("JobOutput", () => {
  it("drains what a pipe holds without waiting for its end", async () => {
    const pipes = new Pipes(environment, parent);
    const { readEnd, writeEnd } = await pipes.take();
    let text = "";
    const output = new JobOutput({
      output: (_stream, _step, data) => {
        text += Buffer.from(data).toString();
        return true;
      },
    });
    fs.writeSync(writeEnd, "held by someone");
    output.add(LogStream.STDOUT, 1, readEnd);
    await output.drain(new AbortController().signal);
    expect(text).toBe("held by someone");
    expect(output.ended).toBe(false);
    fs.closeSync(writeEnd);
    await output.whenEnded();
    expect(output.ended).toBe(true);
    await pipes.close();
  });

  it("reads no stream while one is full, then all of them", async () => {
    const pipes = new Pipes(environment, parent);
    const seen: number[] = [];
    const output = new JobOutput({
      output: (stream, _step, data) => {
        seen.push(stream);
        bytes += data.length;
        return false;
      },
    });
    let bytes = 0;
    const out = await pipes.take();
    const err = await pipes.take();
    const child = spawn("sh", ["-c", "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2"], {
      stdio: ["ignore", out.writeEnd, err.writeEnd],
    });
    fs.closeSync(out.writeEnd);
    fs.closeSync(err.writeEnd);
    output.add(LogStream.STDOUT, 1, out.readEnd);
    output.add(LogStream.STDERR, 1, err.readEnd);
    const ended = output.whenEnded();
    let resumed = 0;
    while (!output.ended) {
      await eventually("full or ended", () => output.isFull || output.ended);
      expect(seen.length).toBeLessThanOrEqual(resumed + 1);
      resumed += 1;
      output.resume();
    }
    await ended;
    expect(bytes).toBe(600_000);
    expect(new Set(seen)).toEqual(new Set([LogStream.STDOUT, LogStream.STDERR]));
    expect(child.pid).toBeGreaterThan(0);
    await pipes.close();
  });
});
