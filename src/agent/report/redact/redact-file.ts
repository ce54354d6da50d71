import fs from "node:fs";
import { dirname } from "node:path";
import { errnoOf } from "../../../base/errors.ts";
import { mayChangeUnseen } from "../../../base/files/file-time.ts";
import { restoreDirectory } from "../../../base/files/directories.ts";
import { removeAll } from "../../../base/files/remove.ts";
import { KiB } from "../../../base/text/sizes.ts";
import { linesOf } from "./text.ts";

/** As much of a file, or of one line of a pipe, as is read. Bytes. */
export const MOST_FILE_BYTES: number = 64 * KiB;
/** Every user may write, since the job may have changed its user; no user may read. */
const MODE = 0o222;
/** Time until the next attempt to make a file that is gone and cannot be made again. Milliseconds. */
const RETRY_MS = 1000;
/** Time between two checks while the job prints nothing: a full pipe would block it. Milliseconds. */
const CHECK_EVERY_MS = 200;
/** Read from the pipe at one time. */
const READ_BYTES = 4 * KiB;
const NEWLINE = 0x0a;
const NOTHING = Buffer.alloc(0);

/** Receives what is found; each may come several times. */
export interface RedactFileHost {
  /** A line, without its newline. */
  line(secret: Uint8Array): void;
  /** What comes after the last newline: one value, or several that were written without any. */
  unfinished(text: Uint8Array): void;
  /** Something cannot be read. Called at most once. */
  warn(message: string): void;
}

/**
 * Where a job writes secrets that it learns while it runs, one a line.
 *
 * A named pipe, so that `>` loses no more than `>>` does. It is read whenever output comes: a secret that a process
 * wrote into it before it printed is known when the output is passed on. The job may remove or replace it: then it is what is
 * there, even a file, which is read as a whole whenever it has changed. What was read once is never forgotten.
 */
export class RedactFile {
  readonly path: string;
  private readonly host: RedactFileHost;
  private fd: number | undefined;
  private isPipe = false;
  /** Of a pipe: what came after the last newline. Of a file: all that was read. */
  private held: Buffer = NOTHING;
  private changed = 0;
  private retryAt = 0;
  private warned = false;
  private timer: NodeJS.Timeout | undefined;
  private readonly buffer: Buffer = Buffer.allocUnsafeSlow(READ_BYTES);

  /** @param path of the pipe; if there is no pipe, a file is made, in a directory that its user may pass through */
  constructor(path: string, host: RedactFileHost) {
    this.path = path;
    this.host = host;
  }

  /** Begins to read. Must be called when the job has been started: it blocks once the pipe is full. */
  open(): void {
    if (this.timer !== undefined) return;
    this.timer = setInterval(() => this.check(), CHECK_EVERY_MS);
    this.timer.unref();
    this.reopen();
  }

  /** Reads what is new. Costs two system calls when there is nothing. */
  check(): void {
    if (this.timer === undefined || (this.fd === undefined && !this.reopen())) return;
    const fd = this.fd as number;
    const now = fs.fstatSync(fd);
    if (this.isPipe) this.readPipe(fd);
    else if (now.size !== this.held.length || now.ctimeMs !== this.changed) this.readFile(fd, now);
    if (now.nlink > 0) return;
    // Removed or replaced. What processes append to the removed file through an open descriptor is lost.
    this.closeFd();
    if (this.reopen()) this.check();
  }

  /** The same, and what has no newline ends here: a step is over. */
  settle(): void {
    this.check();
    if (this.isPipe) this.held = NOTHING;
  }

  /** Removes it. */
  close(): void {
    clearInterval(this.timer);
    this.check();
    this.closeFd();
    this.timer = undefined;
    removeAll(this.path);
  }

  private readPipe(fd: number): void {
    for (;;) {
      let length: number;
      try {
        length = fs.readSync(fd, this.buffer, 0, this.buffer.length, null);
      } catch (error) {
        if (errnoOf(error) === "EAGAIN") return;
        throw error;
      }
      if (length === 0) return;
      const bytes = this.buffer.subarray(0, length);
      this.accept(Buffer.concat([this.held, bytes]));
      // Bytes of one read were most likely written as one value, unless there is a newline.
      if (this.held.length > length) this.host.unfinished(Buffer.from(bytes));
      if (this.held.length < MOST_FILE_BYTES) continue;
      this.held = NOTHING;
      this.warnOnce(`a line has more than ${MOST_FILE_BYTES / KiB} KiB; the rest is not`);
    }
  }

  private readFile(fd: number, stat: fs.Stats): void {
    this.changed = mayChangeUnseen(stat.ctimeMs) ? 0 : stat.ctimeMs;
    if (stat.size > MOST_FILE_BYTES) this.warnOnce(`it has more than ${MOST_FILE_BYTES / KiB} KiB; the rest is not`);
    const bytes = Buffer.allocUnsafe(Math.min(stat.size, MOST_FILE_BYTES));
    let length = 0;
    while (length < bytes.length) {
      const read = fs.readSync(fd, bytes, length, bytes.length - length, length);
      if (read === 0) break;
      length += read;
    }
    const before = this.held;
    const whole = bytes.subarray(0, length);
    this.accept(whole);
    const hasGrownLine = before.length > 0 && length > before.length && before.at(-1) !== NEWLINE;
    if (hasGrownLine && whole.subarray(0, before.length).equals(before)) {
      for (const line of linesOf(whole.subarray(before.length))) this.host.line(line);
    }
    this.held = whole;
  }

  /** Passes the lines on, and what comes after the last one, which is kept. */
  private accept(bytes: Buffer): void {
    const end = bytes.lastIndexOf(NEWLINE) + 1;
    for (const line of linesOf(bytes.subarray(0, end))) this.host.line(line);
    this.held = Buffer.from(bytes.subarray(end));
    if (this.held.length > 0) this.host.unfinished(this.held);
  }

  private reopen(): boolean {
    if (performance.now() < this.retryAt) return false;
    try {
      restoreDirectory(dirname(this.path), 0o711);
      this.fd = this.openFile();
      this.held = NOTHING;
      this.changed = 0;
      return true;
    } catch {
      this.retryAt = performance.now() + RETRY_MS;
      this.warnOnce("it cannot be opened, nor made again; what is written to it is not");
      return false;
    }
  }

  /** Opens what is there, and makes a file if nothing is. It may be anything: the open neither blocks nor follows links. */
  private openFile(): number {
    const { O_RDONLY, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
    const fd = fs.openSync(this.path, O_RDONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
    const stat = fs.fstatSync(fd);
    if (stat.isFIFO() || stat.isFile()) {
      this.isPipe = stat.isFIFO();
      // Another user's file keeps its mode: that user decides who may write.
      if (stat.uid === process.getuid?.()) fs.fchmodSync(fd, this.isPipe ? MODE : 0o622);
      return fd;
    }
    fs.closeSync(fd);
    throw new Error("neither a pipe nor a file");
  }

  private closeFd(): void {
    if (this.fd !== undefined) fs.closeSync(this.fd);
    this.fd = undefined;
    this.retryAt = 0;
  }

  private warnOnce(what: string): void {
    if (this.warned) return;
    this.warned = true;
    this.host.warn(`Cannot read all of $BELAY_REDACT: ${what} redacted`);
  }
}
