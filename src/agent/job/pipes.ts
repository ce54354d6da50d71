import { spawn } from "node:child_process";
import fs from "node:fs";
import { join } from "node:path";
import { BelayError, messageOf } from "../../base/errors.ts";
import { removeAll } from "../../base/remove.ts";

/**
 * Real pipes, which Node does not make: its "pipe" is a socket pair, and `echo x > /dev/stderr` fails on one with
 * ENXIO. They are named pipes in a private directory; both ends are opened for each step, and the names removed.
 * Reading them takes less than half the processor time of a socket pair, too.
 */
export class Pipes {
  /** Of the mode 0700. */
  readonly directory: string;
  private made = 0;
  private taken = 0;
  private making: Promise<void> = Promise.resolve();
  private readonly environment: Record<string, string>;

  /** @param parent where the directory is made */
  constructor(environment: Record<string, string>, parent: string) {
    this.environment = environment;
    this.directory = join(parent, "pipes");
    fs.mkdirSync(this.directory, { mode: 0o700 });
  }

  /** Sees to it that there are so many pipes in all. */
  provide(count: number): void {
    const missing = count - this.made;
    if (missing <= 0) return;
    const names = Array.from({ length: missing }, (_, index) => this.name(this.made + index));
    this.made = count;
    const before = this.making;
    this.making = Promise.all([before, makeFifos(names, this.environment)]).then(() => undefined);
    // Whoever takes a pipe hears of it.
    this.making.catch(() => undefined);
  }

  /**
   * Opens the next pipe. `readEnd` is non-blocking, `writeEnd` is for the child only: as long as the agent keeps it,
   * the pipe has no end.
   */
  async take(): Promise<{ readEnd: number; writeEnd: number }> {
    this.provide(this.taken + 1);
    await this.making;
    const name = this.name(this.taken);
    this.taken += 1;
    const readEnd = fs.openSync(name, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
    try {
      const writeEnd = fs.openSync(name, fs.constants.O_WRONLY);
      fs.unlinkSync(name);
      return { readEnd, writeEnd };
    } catch (error) {
      fs.closeSync(readEnd);
      throw error;
    }
  }

  /** Removes directory and unused pipes. */
  async close(): Promise<void> {
    await this.making.catch(() => undefined);
    removeAll(this.directory);
  }

  private name(index: number): string {
    return join(this.directory, `pipe-${index}`);
  }
}

function makeFifos(names: readonly string[], environment: Record<string, string>): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (problem: string): void =>
      reject(new BelayError("INTERNAL", `Cannot make pipes for the job with "mkfifo": ${problem}`));
    // For everyone to write, as far as the directory lets them: the job may have changed its user when it opens
    // /dev/stderr anew. Only opening by name needs it, which /proc/self/fd does.
    const child = spawn("mkfifo", ["-m", "622", ...names], { env: environment, stdio: ["ignore", "ignore", "pipe"] });
    let problem = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (problem += text));
    child.once("error", (error) => fail(messageOf(error)));
    child.once("close", (code) => (code === 0 ? resolve() : fail(problem.trim() || `exit code ${code}`)));
  });
}
