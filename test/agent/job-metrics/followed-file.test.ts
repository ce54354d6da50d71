import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FollowedFile, MOST_UNREAD_BYTES } from "../../../src/agent/job-metrics/followed-file.ts";
import { createMetricsFile } from "../../../src/agent/job-metrics/make-file.ts";

let directory: string;
let path: string;
let file: FollowedFile;
let problems: string[];

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), "belay-test-"));
  path = join(directory, "metrics");
  problems = [];
  file = new FollowedFile(path, createMetricsFile(path), (what) => problems.push(what));
});
afterEach(() => {
  file.close();
  fs.rmSync(directory, { recursive: true, force: true });
});

/** Everything that can be read now, with `|` where the file restarted. */
function read(): string {
  let text = "";
  for (let piece = file.next(); piece !== undefined; piece = file.next()) {
    if (piece.kind === "bytes") text += piece.bytes.toString();
    else text += piece.kind === "restarted" ? "|" : `<${piece.bytes}>`;
  }
  return text;
}

describe("a file that others append to is followed", () => {
  it("from append to append, each byte once", () => {
    expect(read()).toBe("");
    fs.appendFileSync(path, "a=1\n");
    expect(read()).toBe("a=1\n");
    expect(read()).toBe("");
    const long = "b=2\n".repeat(200_000);
    fs.appendFileSync(path, long);
    expect(read()).toBe(long);
    fs.appendFileSync(path, "c");
    fs.appendFileSync(path, "=3\n");
    expect(read()).toBe("c=3\n");
  });

  it("through a truncation", () => {
    fs.appendFileSync(path, "a=1\nb=2\n");
    expect(read()).toBe("a=1\nb=2\n");
    fs.writeFileSync(path, "c=3\n");
    expect(read()).toBe("|c=3\n");
  });

  it("when it is overwritten with the same number of bytes, or with more", () => {
    for (const text of ["progress=0.1\n", "progress=0.2\n", "progress=0.25\n", "progress=0.3\nnote=x\n"]) {
      fs.writeFileSync(path, text);
      expect(read()).toBe(text === "progress=0.1\n" ? text : `|${text}`);
    }
  });

  it("when it is removed: what was appended before is read, and a new file is made", () => {
    fs.appendFileSync(path, "a=1\n");
    fs.rmSync(path);
    expect(read()).toBe("a=1\n|");
    fs.appendFileSync(path, "b=2\n");
    expect(read()).toBe("b=2\n");
    fs.rmSync(path);
    fs.writeFileSync(path, "c=3\n");
    expect(read()).toBe("|c=3\n");
    expect(problems).toEqual([]);
  });

  it("when another file is renamed over it, after the old one is read to its end", () => {
    fs.appendFileSync(path, "a=1\n");
    const next = join(directory, "next");
    fs.writeFileSync(next, "b=2\n");
    fs.renameSync(next, path);
    expect(read()).toBe("a=1\n|b=2\n");
  });

  it("when it is moved away, as by log rotation", () => {
    fs.appendFileSync(path, "a=1\n");
    fs.renameSync(path, join(directory, "metrics.1"));
    fs.writeFileSync(path, "b=2\n");
    expect(read()).toBe("a=1\n|b=2\n");
  });

  it("when its directory is removed: both are made again", () => {
    fs.rmSync(directory, { recursive: true });
    expect(read()).toBe("|");
    fs.appendFileSync(path, "again\n");
    expect(read()).toBe("again\n");
    expect(problems).toEqual([]);
  });

  it("except for its oldest bytes when too much is unread", () => {
    const size = MOST_UNREAD_BYTES + 1000;
    fs.appendFileSync(path, Buffer.alloc(size - 4, "x"));
    fs.appendFileSync(path, "end\n");
    const text = read();
    expect(text.startsWith("<1000>x")).toBe(true);
    expect(text.endsWith("xend\n")).toBe(true);
    expect(text.length).toBe("<1000>".length + MOST_UNREAD_BYTES);
  });
});

describe("what is not a file", () => {
  it.each<[string, () => void]>([
    ["a directory", () => fs.mkdirSync(path)],
    ["a named pipe", () => execFileSync("mkfifo", [path])],
    ["a symbolic link", () => fs.symlinkSync("/dev/zero", path)],
  ])("is not opened, nor followed: %s", (what, make) => {
    fs.rmSync(path);
    make();
    expect(read()).toBe("|");
    expect(problems[0]).toBe(`it is ${what}`);
    fs.rmSync(path, { recursive: true });
    fs.writeFileSync(path, "a=1\n");
    expect(read()).toBe("a=1\n");
  });
});
