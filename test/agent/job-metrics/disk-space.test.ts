import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { MiB } from "../../../src/base/text/sizes.ts";
import { DiskSpace } from "../../../src/agent/job-metrics/disk-space.ts";
import { FollowedFile } from "../../../src/agent/job-metrics/followed-file.ts";
import { createMetricsFile } from "../../../src/agent/job-metrics/make-file.ts";

const LIMITS = { kept: 4 * MiB, emptied: 8 * MiB };
/** Busybox has a fallocate that makes no holes. */
const CAN_PUNCH = spawnSync("fallocate", ["--help"]).stdout?.includes("--punch-hole") ?? false;
const LINES = Buffer.from("loss=0.123456789\n".repeat(10_000));

let directory: string;
let path: string;
let file: FollowedFile;
beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), "belay-test-"));
  path = join(directory, "metrics");
  file = new FollowedFile(path, createMetricsFile(path), () => undefined);
});
afterEach(() => {
  file.close();
  fs.rmSync(directory, { recursive: true, force: true });
});

/** Appends and reads 40 MB, through a descriptor that stays open. @returns bytes read, and the most space on disk */
async function flow(disk: DiskSpace): Promise<{ written: number; read: number; most: number }> {
  const writer = fs.openSync(path, "a");
  let written = 0;
  let read = 0;
  let most = 0;
  while (written < 40_000_000) {
    written += fs.writeSync(writer, LINES);
    for (let piece = file.next(); piece !== undefined; piece = file.next()) {
      if (piece.kind === "bytes") read += piece.bytes.length;
    }
    most = Math.max(most, fs.fstatSync(writer).blocks * 512);
    await disk.reclaim();
  }
  fs.closeSync(writer);
  return { written, read, most };
}

describe("the space that the file takes on disk is bounded, and every byte is read", () => {
  it.skipIf(!CAN_PUNCH)("by holes, where the file system supports them: writers notice nothing", async () => {
    const { written, read, most } = await flow(new DiskSpace(file, process.env, LIMITS));
    expect(read).toBe(written);
    expect(most).toBeLessThan(LIMITS.kept + 2 * MiB);
    expect(fs.statSync(path).size).toBe(written);
  });

  it("by emptying it once everything is read, where holes are not supported", async () => {
    const { written, read, most } = await flow(new DiskSpace(file, { PATH: "/nowhere" }, LIMITS));
    expect(read).toBe(written);
    expect(most).toBeLessThan(LIMITS.emptied + 2 * MiB);
    expect(fs.statSync(path).size).toBeLessThan(LIMITS.emptied);
  });

  it("but not while a line is unfinished", async () => {
    fs.appendFileSync(path, Buffer.concat([...Array.from({ length: 60 }, () => LINES), Buffer.from("half")]));
    while (file.next() !== undefined);
    await new DiskSpace(file, { PATH: "/nowhere" }, LIMITS).reclaim();
    expect(fs.statSync(path).size).toBe(60 * LINES.length + 4);
  });
});
