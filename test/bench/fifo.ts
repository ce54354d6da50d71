import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import type { Stage } from "./stage.ts";

/** Tells of the first byte, and when the pipe is closed. The shell reads the clock itself: no process is started for it. */
const WATCH = 'exec 3< "$0"; read -r _ <&3; echo opened; read -r _ <&3; echo "$EPOCHREALTIME"';

/**
 * A named pipe that tells when the last process that has it open for writing is gone: the kernel closes what a process
 * holds when it dies, so this needs no look at /proc again and again. A shell of its own waits for it, which is not busy
 * with anything else when that happens.
 */
export class Fifo {
  /** Resolves when a byte has been written into it. */
  readonly opened: Promise<void>;
  /** Resolves with the time at which no writer was left, in milliseconds since the Unix epoch. */
  readonly closed: Promise<number>;
  private readonly file: string;

  constructor(stage: Pick<Stage, "directory" | "start">, name: string) {
    this.file = path.join(stage.directory, `${name}.fifo`);
    execFileSync("mkfifo", [this.file]);
    const { child } = stage.start("bash", ["-c", WATCH, this.file], "stdout");
    const lines = createInterface({ input: child.stdout as Readable })[Symbol.asyncIterator]();
    const first = lines.next();
    this.opened = first.then(() => undefined);
    this.closed = first.then(async () => {
      const { value } = await lines.next();
      rmSync(this.file, { force: true });
      return Number(value) * 1000;
    });
  }

  /** A shell command that holds the pipe open, as descriptor 9, for the shell and all that it starts from then on. */
  get hold(): string {
    return `exec 9> ${this.file}; echo >&9`;
  }
}
