import { spawn } from "node:child_process";
import fs from "node:fs";
import { MiB } from "../../base/sizes.ts";
import type { FollowedFile } from "./followed-file.ts";

/**
 * Space on disk from which what has been read is given back. Bytes. Where temporary files are in memory it is the job's
 * own memory that they take, so this is not much.
 */
export const MOST_KEPT_BYTES: number = 16 * MiB;
/** A file from which it cannot be given back is emptied when it is this large. Bytes. */
export const EMPTIED_BYTES: number = 64 * MiB;
/** Of `stat.blocks`, whatever the file system's blocks are. */
const BLOCK_BYTES = 512;
/** Holes are made of whole pages; a larger unit is no loss. */
const HOLE_UNIT_BYTES: number = 1 * MiB;
const NEWLINE = 0x0a;

/**
 * Keeps a file to which others append from growing on disk without end.
 *
 * What has been read is cut out of the file with `fallocate --punch-hole`: the file keeps its length, nobody who writes
 * notices, and nothing can be lost. Where the tool or the file system cannot do that, the file is emptied at a moment
 * at which everything in it has been read; a line that is appended within the microseconds between that look and the
 * cut is lost.
 */
export class DiskSpace {
  private readonly file: FollowedFile;
  private readonly environment: Readonly<Record<string, string | undefined>>;
  private readonly kept: number;
  private readonly emptiedAt: number;
  private holes = true;

  /** @param limits for tests: see the constants */
  constructor(
    file: FollowedFile,
    environment: Readonly<Record<string, string | undefined>>,
    limits: { readonly kept: number; readonly emptied: number } = { kept: MOST_KEPT_BYTES, emptied: EMPTIED_BYTES },
  ) {
    this.file = file;
    this.environment = environment;
    this.kept = limits.kept;
    this.emptiedAt = limits.emptied;
  }

  /** Gives space back if there is much of it. Never rejects. */
  async reclaim(): Promise<void> {
    const { done } = this.file;
    if (done === undefined) return;
    const used = fs.fstatSync(done.fd).blocks * BLOCK_BYTES;
    if (used < this.kept) return;
    const hole = Math.floor((done.offset - done.needed) / HOLE_UNIT_BYTES) * HOLE_UNIT_BYTES;
    if (this.holes && hole > 0) {
      this.holes = await this.punch(done.fd, hole);
      // Nothing was given back, though there was much to give: this file system has no holes.
      if (fs.fstatSync(done.fd).blocks * BLOCK_BYTES >= used && used >= this.emptiedAt) this.holes = false;
    }
    if (!this.holes && used >= this.emptiedAt) this.empty();
  }

  private punch(fd: number, length: number): Promise<boolean> {
    const args = ["--punch-hole", "--offset", "0", "--length", String(length), "/proc/self/fd/3"];
    return new Promise((resolve) => {
      const child = spawn("fallocate", args, {
        cwd: "/",
        env: { PATH: this.environment["PATH"] ?? "/usr/bin:/bin" },
        stdio: ["ignore", "ignore", "ignore", fd],
      });
      child.once("error", () => resolve(false));
      child.once("exit", (code) => resolve(code === 0));
    });
  }

  private empty(): void {
    const { done, path } = this.file;
    if (done === undefined) return;
    let writable: number | undefined;
    try {
      writable = fs.openSync(path, fs.constants.O_WRONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK);
      const stat = fs.fstatSync(writable);
      const last = Buffer.alloc(1);
      fs.readSync(done.fd, last, 0, 1, done.offset - 1);
      const same = stat.ino === fs.fstatSync(done.fd).ino;
      if (!same || last[0] !== NEWLINE || fs.fstatSync(writable).size !== done.offset) return;
      fs.ftruncateSync(writable, 0);
      this.file.emptied();
    } catch {
      // It was replaced, or may not be written any more: whoever did that keeps it.
    } finally {
      if (writable !== undefined) fs.closeSync(writable);
    }
  }
}
