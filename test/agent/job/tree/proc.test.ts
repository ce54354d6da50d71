import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import { describe, expect, it } from "vitest";
import {
  commandOf,
  countOpenFiles,
  pageBytes,
  pidExists,
  readKernelFile,
  readProcess,
} from "../../../../src/agent/job/tree/proc.ts";

describe("Kernel files", () => {
  it("are read to their end, also a list that the kernel returns page by page", () => {
    const text = readKernelFile("/proc/kallsyms") ?? "";
    expect(text.length).toBe(128 * 1024);
    expect(text).toBe(fs.readFileSync("/proc/kallsyms", "latin1").slice(0, 128 * 1024));
  });

  it("show memory in pages of this machine's size", () => {
    expect(pageBytes()).toBe(Number(execFileSync("getconf", ["PAGESIZE"], { encoding: "utf8" })));
  });

  it("show how many files a process has open", () => {
    const before = countOpenFiles(process.pid) ?? 0;
    const fds = Array.from({ length: 10 }, () => fs.openSync("/dev/null", "r"));
    expect(countOpenFiles(process.pid)).toBe(before + 10);
    for (const fd of fds) fs.closeSync(fd);
    expect(countOpenFiles(0)).toBeUndefined();
  });

  it("show whether a process exists", () => {
    expect(pidExists(process.pid)).toBe(true);
    expect(pidExists(1)).toBe(true);
    expect(pidExists(2 ** 22 + 1)).toBe(false);
    expect(readProcess(2 ** 22 + 1)).toBeUndefined();
  });
});

describe("A process's command line", () => {
  const secret = "s3cr3t-".repeat(10);

  it.each([
    ["is shown whole up to 256 bytes", ["x".repeat(200)], (short: string) => short.endsWith("x".repeat(200))],
    [
      "is cut between two words, so that no secret is shown in part",
      ["x".repeat(200), secret],
      (short: string) => short.endsWith("x".repeat(200)),
    ],
    [
      "is cut within an argument, too, where that is a script",
      [`echo ${"x".repeat(200)} ${secret}`],
      (short: string) => short.endsWith("x".repeat(200)),
    ],
    [
      "keeps the words before one that is too long",
      [secret.repeat(9)],
      (short: string) => short === "sh -c read line; true",
    ],
  ] as const)("%s", async (_, args, isRight) => {
    // Ends when its standard input does.
    const child = spawn("sh", ["-c", "read line; true", ...args]);
    try {
      const entry = readProcess(child.pid ?? 0);
      if (entry === undefined) throw new Error("it has not started");
      const short = commandOf(entry);
      expect(short.length).toBeLessThanOrEqual(256);
      expect(short).not.toContain("s3cr3t");
      expect(isRight(short), short).toBe(true);
    } finally {
      child.kill("SIGKILL");
    }
  });

  it("is the short name in brackets where even the first word is too long", () => {
    const entry = { pid: process.pid, name: "node" } as Parameters<typeof commandOf>[0];
    expect(commandOf({ ...entry, pid: 2 ** 30 })).toBe("[node]");
  });
});
