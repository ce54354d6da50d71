import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { restoreDirectory } from "../../../base/directories.ts";
import { removeAll } from "../../../base/remove.ts";
import { KiB } from "../../../base/sizes.ts";
import { linesOf } from "./text.ts";

/** As much of the file as is read. Bytes. */
export const MOST_FILE_BYTES: number = 64 * KiB;
/** Times of files go by the kernel's clock tick: a second change within one cannot be told from the first. Ms. */
const TICK_MS = 20;
/** How long a file that is gone and cannot be made again is left alone. Milliseconds. */
const RETRY_MS = 1000;

/**
 * A file to which a job appends secrets that come up while it runs, one a line.
 *
 * It is looked at whenever output comes: what a process wrote into the file before it printed something is known when
 * that is passed on. The whole file is read whenever it has changed, so it may also be overwritten, truncated, removed
 * or replaced; what was read once is never forgotten. A last line without a newline counts.
 */
export class RedactFile {
  readonly path: string;
  private readonly directory: string;
  private readonly take: (secret: Uint8Array) => void;
  private readonly warn: (message: string) => void;
  private fd: number | undefined;
  private size = 0;
  private changed = 0;
  private retryAt = 0;
  private warned = false;

  /**
   * Makes the file, readable and writable by this user only.
   *
   * @param take told of each line, again and again
   * @param warn told at most once, when something of the file cannot be read
   * @throws what the file system says when it cannot be made
   */
  constructor(take: (secret: Uint8Array) => void, warn: (message: string) => void, parent: string = os.tmpdir()) {
    this.directory = fs.mkdtempSync(path.join(parent, "belay-redact-"));
    this.path = path.join(this.directory, "secrets");
    this.take = take;
    this.warn = warn;
    this.fd = this.open();
  }

  /** Takes what is new. Costs one fstat when nothing is. */
  check(): void {
    if (this.fd === undefined && !this.reopen()) return;
    const now = fs.fstatSync(this.fd as number);
    if (now.size !== this.size || now.ctimeMs !== this.changed) this.read(now);
    if (now.nlink > 0) return;
    // Removed or replaced; what others append through a descriptor of their own to the removed one is lost.
    fs.closeSync(this.fd as number);
    this.fd = undefined;
    this.size = this.changed = this.retryAt = 0;
    if (this.reopen()) this.read(fs.fstatSync(this.fd as unknown as number));
  }

  /** Removes the file. */
  close(): void {
    if (this.fd !== undefined) fs.closeSync(this.fd);
    this.fd = undefined;
    this.retryAt = Number.POSITIVE_INFINITY;
    removeAll(this.directory);
  }

  private read(stat: fs.Stats): void {
    this.size = stat.size;
    // While the clock's tick lasts, it may change again without a trace.
    this.changed = Math.abs(Date.now() - stat.ctimeMs) < TICK_MS ? 0 : stat.ctimeMs;
    if (stat.size > MOST_FILE_BYTES) this.warnOnce(`it has more than ${MOST_FILE_BYTES / KiB} KiB; the rest is not`);
    const bytes = Buffer.allocUnsafe(Math.min(stat.size, MOST_FILE_BYTES));
    let length = 0;
    while (length < bytes.length) {
      const read = fs.readSync(this.fd as number, bytes, length, bytes.length - length, length);
      if (read === 0) break;
      length += read;
    }
    for (const line of linesOf(bytes.subarray(0, length))) this.take(line);
  }

  private reopen(): boolean {
    if (performance.now() < this.retryAt) return false;
    try {
      restoreDirectory(path.dirname(this.directory), 0o711);
      restoreDirectory(this.directory, 0o700);
      this.fd = this.open();
      return true;
    } catch {
      this.retryAt = performance.now() + RETRY_MS;
      this.warnOnce("it was removed and cannot be made again; what is written to it is not");
      return false;
    }
  }

  /** Opens the file, and makes it if it is not there. It may be anything by now: nothing is waited for or followed. */
  private open(): number {
    const { O_RDONLY, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
    const fd = fs.openSync(this.path, O_RDONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
    if (fs.fstatSync(fd).isFile()) return fd;
    fs.closeSync(fd);
    throw new Error("not a file");
  }

  private warnOnce(what: string): void {
    if (this.warned) return;
    this.warned = true;
    this.warn(`Cannot read all of $BELAY_REDACT: ${what} redacted`);
  }
}
