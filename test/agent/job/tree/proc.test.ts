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

describe("What the kernel tells", () => {
  it("is read to its end, also a list that it gives out by the page", () => {
    const text = readKernelFile("/proc/kallsyms") ?? "";
    expect(text.length).toBe(128 * 1024);
    expect(text).toBe(fs.readFileSync("/proc/kallsyms", "latin1").slice(0, 128 * 1024));
  });

  it("about memory is in pages of this machine's size", () => {
    expect(pageBytes()).toBe(Number(execFileSync("getconf", ["PAGESIZE"], { encoding: "utf8" })));
  });

  it("about open files is their number", () => {
    const before = countOpenFiles(process.pid) ?? 0;
    const fds = Array.from({ length: 10 }, () => fs.openSync("/dev/null", "r"));
    expect(countOpenFiles(process.pid)).toBe(before + 10);
    for (const fd of fds) fs.closeSync(fd);
    expect(countOpenFiles(0)).toBeUndefined();
  });

  it("tells a process that is there from one that is not", () => {
    expect(pidExists(process.pid)).toBe(true);
    expect(pidExists(1)).toBe(true);
    expect(pidExists(2 ** 22 + 1)).toBe(false);
    expect(readProcess(2 ** 22 + 1)).toBeUndefined();
  });
});
