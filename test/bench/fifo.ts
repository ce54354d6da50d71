import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import path from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import type { Stage } from "./stage.ts";

/** Reports the first byte and the time of the pipe's end. The shell reads the clock itself, without another process. */
const WATCH = 'exec 3< "$0"; read -r _ <&3; echo opened; read -r _ <&3; echo "$EPOCHREALTIME"';

/**
 * A named pipe that reports when the last process that has it open for writing has ended: the kernel closes the files
 * of a process when it dies, so that /proc need not be polled. A separate shell waits for it, because this process may
 * be busy at that moment.
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

  /** A shell command that opens the pipe as descriptor 9 in the shell and in all processes that it starts later. */
  get hold(): string {
    return `exec 9> ${this.file}; echo >&9`;
  }
}
