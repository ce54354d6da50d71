import fs from "node:fs";
import { describe, expect, test, vi } from "vitest";
import { ownCgroup } from "../../../src/agent/job/cgroup.ts";
import { MoveAhead } from "../../../src/agent/job/move-ahead.ts";

const home = ownCgroup();
const mayMove = home !== undefined && isWritable(`${home}/cgroup.procs`);

describe.skipIf(!mayMove)("Rehearsing a move between cgroups (needs a cgroup v2 that we may write)", () => {
  test("leaves the process where it is, and no file open", async () => {
    const before = openFiles();
    const write = vi.spyOn(fs, "write");
    const ahead = new MoveAhead(home ?? "");
    expect(openFiles()).toContain(`${home}/cgroup.procs`);
    await vi.waitFor(() => expect(write.mock.calls.length).toBeGreaterThan(3), 10_000);
    write.mockRestore();
    expect(ownCgroup()).toBe(home);
    ahead.stop();
    ahead.stop();
    await vi.waitFor(() => expect(openFiles()).toEqual(before));
  });

  test("ends by itself when nothing is started", async () => {
    const write = vi.spyOn(fs, "write");
    const ahead = new MoveAhead(home ?? "");
    await vi.waitFor(() => expect(openFiles()).not.toContain(`${home}/cgroup.procs`), 10_000);
    expect(write.mock.calls.length).toBeGreaterThan(10);
    write.mockRestore();
    ahead.stop();
  });
});

test("A cgroup that may not be written is left alone", () => {
  const before = openFiles();
  new MoveAhead("/nowhere").stop();
  expect(openFiles()).toEqual(before);
});

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
