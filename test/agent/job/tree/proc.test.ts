import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { describe, expect, it } from "vitest";
import {
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
