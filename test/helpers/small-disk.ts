import { execFileSync, spawnSync } from "node:child_process";
import { rmSync, statfsSync, truncateSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";

/** Why a test that mounts a file system is skipped. */
export const NO_MOUNT = "a tmpfs can be mounted by root only";

/** Mounts a small file system for one test. Undefined: this user or machine cannot mount one. */
export async function smallDisk(mebibytes: number): Promise<string | undefined> {
  const directory = await mkdtemp(join(tmpdir(), "belay-disk-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${mebibytes}m,mode=700`, "tmpfs", directory]);
  if (mounted.status !== 0) return undefined;
  onTestFinished(() => void execFileSync("umount", ["-l", directory]));
  return directory;
}

/** Fills a file system until no block is free. @returns a function that frees them again */
export function fill(directory: string): () => void {
  const path = join(directory, "ballast");
  writeFileSync(path, "");
  for (let size = 1024 * 1024; size >= 1; size = Math.floor(size / 2)) {
    try {
      for (;;) writeFileSync(path, Buffer.alloc(size, 1), { flag: "a" });
    } catch {
      // There is not enough room for this size: try a smaller one.
    }
  }
  if (statfsSync(directory).bfree !== 0) throw new Error(`"${directory}" cannot be filled`);
  return () => {
    truncateSync(path, 0);
    rmSync(path);
  };
}
