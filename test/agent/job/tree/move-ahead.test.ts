import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import { basename } from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { ownCgroup } from "../../../../src/agent/job/tree/cgroup.ts";
import { makeContainment } from "../../../../src/agent/job/tree/containment.ts";
import { MoveAhead } from "../../../../src/agent/job/tree/move-ahead.ts";
import type { ProcessTree } from "../../../../src/agent/job/tree/tree.ts";

const home = ownCgroup();
const mayMove = home !== undefined && isWritable(`${home}/cgroup.procs`);

describe.skipIf(!mayMove)("Rehearsing a move between cgroups (needs a cgroup v2 that we may write)", () => {
  test("leaves the process where it is, and leaves no file open", async () => {
    const before = openFiles();
    const write = vi.spyOn(fs, "write");
    const ahead = new MoveAhead(home ?? "", () => rehearsalPid());
    expect(openFiles()).toContain(`${home}/cgroup.procs`);
    await vi.waitFor(() => expect(write.mock.calls.length).toBeGreaterThan(3), 10_000);
    write.mockRestore();
    expect(ownCgroup()).toBe(home);
    ahead.stop();
    ahead.stop();
    await vi.waitFor(() => expect(openFiles()).toEqual(before));
  });

  test("stops by itself when no job is started", async () => {
    const write = vi.spyOn(fs, "write");
    const ahead = new MoveAhead(home ?? "", () => rehearsalPid());
    await vi.waitFor(() => expect(openFiles()).not.toContain(`${home}/cgroup.procs`), 10_000);
    expect(write.mock.calls.length).toBeGreaterThan(10);
    write.mockRestore();
    ahead.stop();
  });
});

describe.skipIf(!mayMove)("A job that is started while a move is rehearsed", () => {
  test("is in its cgroup from its first instruction, also when a rehearsal has just begun", async () => {
    const pid = rehearsalPid();
    for (let round = 0; round < 40; round++) {
      const { tree, cgroup } = makeContainment("cgroup");
      // The kernel's lock is at hand from the first rehearsal on; the next ones take as long as a start does.
      const child = await startWithFourthRehearsal(tree, pid);
      expect(fs.readFileSync(`/proc/${child.pid}/cgroup`, "utf8")).toContain(basename(cgroup));
      const gone = once(child, "exit");
      tree.kill();
      await gone;
      await vi.waitFor(() => expect(tree.close()).toBe(true), 10_000);
    }
  });

  test("has no rehearsal when there is no other process to move", () => {
    const before = openFiles();
    const idle = [0, process.pid].map((pid) => new MoveAhead(home ?? "", () => pid));
    expect(openFiles()).toEqual(before);
    for (const ahead of idle) ahead.stop();
  });
});

test("A cgroup that may not be written is left alone", () => {
  const before = openFiles();
  new MoveAhead("/nowhere", () => process.ppid).stop();
  expect(openFiles()).toEqual(before);
});

/** A process in the same cgroup. */
function rehearsalPid(): number {
  const child = spawn("sleep", ["1000"], { stdio: "ignore" });
  onTestFinished(() => void child.kill());
  return child.pid ?? 0;
}

/** Starts a process in the very moment in which the fourth rehearsal is given to its thread. */
function startWithFourthRehearsal(tree: ProcessTree, pid: number): Promise<ChildProcess> {
  const write = fs.write.bind(fs) as (...args: unknown[]) => void;
  let count = 0;
  return new Promise((resolve) => {
    const spy = vi.spyOn(fs, "write").mockImplementation((...args: unknown[]) => {
      write(...args);
      if (++count !== 4) return;
      spy.mockRestore();
      resolve(tree.start(() => spawn("sleep", ["1000"], { stdio: "ignore" })));
    });
    tree.expectStart?.(() => pid);
  });
}

function isWritable(file: string): boolean {
  try {
    fs.accessSync(file, fs.constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** Files below /sys that this process has open. */
function openFiles(): string[] {
  const links = fs.readdirSync("/proc/self/fd").map((fd) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return "";
    }
  });
  return links.filter((link) => link.startsWith("/sys/"));
}
