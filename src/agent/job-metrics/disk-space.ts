import { spawn } from "node:child_process";
import fs from "node:fs";
import { MiB } from "../../base/text/sizes.ts";
import type { FollowedFile } from "./followed-file.ts";

/**
 * Disk space of the file above which the space of what has been read is freed. Bytes. Small, since temporary files may
 * be in memory, where they count as the job's own.
 */
export const MOST_KEPT_BYTES: number = 16 * MiB;
/** A file whose space cannot be freed is emptied at this size. Bytes. */
export const EMPTIED_BYTES: number = 64 * MiB;
/** Unit of `stat.blocks`, whatever the block size of the file system. */
const BLOCK_BYTES = 512;
/** Holes consist of whole pages; a larger unit costs nothing. */
const HOLE_UNIT_BYTES: number = 1 * MiB;
const NEWLINE = 0x0a;

/**
 * Bounds the disk space of a file to which other processes append.
 *
 * `fallocate --punch-hole` frees the space of what has been read: the file keeps its length, its writers notice
 * nothing, and no line can be lost. If the tool or the file system cannot do that, the file is emptied when everything
 * in it has been read; a line that is appended in the microseconds between that check and the truncation is lost.
 */
export class DiskSpace {
  private readonly file: FollowedFile;
  private readonly environment: Readonly<Record<string, string | undefined>>;
  private readonly kept: number;
  private readonly emptiedAt: number;
  private holes = true;

  /** @param limits for tests; see the constants */
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

  /** Frees space if there is enough to free. Never rejects. */
  async reclaim(): Promise<void> {
    const { consumed } = this.file;
    if (consumed === undefined) return;
    const used = fs.fstatSync(consumed.fd).blocks * BLOCK_BYTES;
    if (used < this.kept) return;
    const hole = Math.floor((consumed.offset - consumed.needed) / HOLE_UNIT_BYTES) * HOLE_UNIT_BYTES;
    if (this.holes && hole > 0) {
      this.holes = await this.punch(consumed.fd, hole);
      // No space was freed, though there was much to free: this file system does not support holes.
      if (fs.fstatSync(consumed.fd).blocks * BLOCK_BYTES >= used && used >= this.emptiedAt) this.holes = false;
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
    const { consumed, path } = this.file;
    if (consumed === undefined) return;
    let writable: number | undefined;
    try {
      writable = fs.openSync(path, fs.constants.O_WRONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK);
      const stat = fs.fstatSync(writable);
      const last = Buffer.alloc(1);
      fs.readSync(consumed.fd, last, 0, 1, consumed.offset - 1);
      const same = stat.ino === fs.fstatSync(consumed.fd).ino;
      if (!same || last[0] !== NEWLINE || fs.fstatSync(writable).size !== consumed.offset) return;
      fs.ftruncateSync(writable, 0);
      this.file.emptied();
    } catch {
      // The job has replaced the file, or made it read-only: it stays as it is.
    } finally {
      if (writable !== undefined) fs.closeSync(writable);
    }
  }
}
