import { execFileSync } from "node:child_process";
import { constants, openSync, rmSync } from "node:fs";
import { Socket } from "node:net";
import path from "node:path";
import { wallClock } from "./processes.ts";

/**
 * A named pipe that tells when the last process that has it open for writing is gone: the kernel closes what a process
 * holds when it dies, so this needs no look at /proc again and again.
 */
export class Fifo {
  /** Resolves when a byte has been written into it. */
  readonly opened: Promise<void>;
  /** Resolves with the time at which no writer was left, in milliseconds since the Unix epoch. */
  readonly closed: Promise<number>;
  private readonly file: string;

  constructor(directory: string, name: string) {
    this.file = path.join(directory, `${name}.fifo`);
    execFileSync("mkfifo", [this.file]);
    const fd = openSync(this.file, constants.O_RDONLY | constants.O_NONBLOCK);
    const reader = new Socket({ fd, readable: true, writable: false });
    this.opened = new Promise((resolve) => reader.once("data", () => resolve()));
    this.closed = new Promise((resolve, reject) => {
      reader.once("error", reject);
      reader.once("end", () => {
        resolve(wallClock());
        rmSync(this.file, { force: true });
      });
    });
  }

  /** A shell command that holds the pipe open, as descriptor 9, for the shell and all that it starts from then on. */
  get hold(): string {
    return `exec 9> ${this.file}; echo >&9`;
  }
}
