import { spawn } from "node:child_process";
import fs from "node:fs";
import { basename, dirname, join } from "node:path";
import { sleep } from "../../../base/clock.ts";
import { BelayError, messageOf } from "../../../base/errors.ts";
import { restoreDirectory } from "../../../base/files/directories.ts";
import { removeAll } from "../../../base/files/remove.ts";
import { JOB_DIRECTORY_MODE, makeJobDirectory } from "./directory.ts";

/**
 * Mode of a pipe. Every user who may enter the directory can write: the job may have changed its user when it opens
 * /dev/stderr again. Only opening by name needs that, which is what /proc/self/fd does.
 */
export const PIPE_MODE = "622";
/** Longest wait for pipes that another process makes. Milliseconds. */
const PATIENCE_MS = 1000;

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
  private delegated: readonly string[] = [];
  /** Where pipes are made once the first directory cannot be made again. */
  private elsewhere: string | undefined;
  private readonly environment: Record<string, string>;

  /** @param parent where the directory is made */
  constructor(environment: Record<string, string>, parent: string) {
    this.environment = environment;
    this.directory = join(parent, "pipes");
    fs.mkdirSync(this.directory, { mode: 0o700 });
  }

  /**
   * Lets a process make the pipes that is started anyway: that saves the agent a fork.
   *
   * @returns their paths, to be made in this order
   */
  delegate(count: number): readonly string[] {
    const names = this.newNames(count);
    this.delegated = [...this.delegated, ...names];
    return names;
  }

  /** Makes pipes until there are this many in all. */
  provide(count: number): void {
    const missing = count - this.made;
    if (missing <= 0) return;
    const names = this.newNames(missing);
    const before = this.making;
    this.making = Promise.all([before, makeFifos(names, this.environment)]).then(() => undefined);
    // A failure is reported by `take`.
    this.making.catch(() => undefined);
  }

  /**
   * Opens the next pipe. `readEnd` is non-blocking, `writeEnd` is for the child only: as long as the agent keeps it,
   * the pipe has no end.
   */
  async take(): Promise<{ readEnd: number; writeEnd: number }> {
    this.provide(this.taken + 1);
    await this.making;
    await this.delivered();
    const made = this.name(this.taken);
    this.taken += 1;
    const name = fs.existsSync(made) ? made : await this.remake(made);
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

  /** Makes a pipe that an earlier step, or a cleaner of temporary files, has removed. @returns its path */
  private async remake(name: string): Promise<string> {
    try {
      restoreDirectory(dirname(this.directory), JOB_DIRECTORY_MODE);
      restoreDirectory(this.directory, 0o700);
      await makeFifos([name], this.environment);
      return name;
    } catch {
      // The place itself is gone.
      this.elsewhere ??= makeJobDirectory();
      const other = join(this.elsewhere, basename(name));
      await makeFifos([other], this.environment);
      return other;
    }
  }

  /** Removes directory and unused pipes. */
  async close(): Promise<void> {
    await this.making.catch(() => undefined);
    await this.arrived();
    removeAll(this.directory);
    if (this.elsewhere !== undefined) removeAll(this.elsewhere);
  }

  /** Waits for the pipes that another process makes, and makes them if it does not. */
  private async delivered(): Promise<void> {
    if (await this.arrived()) return;
    const names = this.delegated;
    await makeFifos(names, this.environment).catch((error: unknown) => {
      // Some exist if the other process was slow.
      if (!names.every((name) => fs.existsSync(name))) throw error;
    });
    this.delegated = [];
  }

  /** @returns whether the pipes that another process makes are there, after some waiting */
  private async arrived(): Promise<boolean> {
    const deadline = performance.now() + PATIENCE_MS;
    while (this.delegated.some((name) => !fs.existsSync(name))) {
      if (performance.now() > deadline) return false;
      await sleep(1);
    }
    this.delegated = [];
    return true;
  }

  private newNames(count: number): string[] {
    const names = Array.from({ length: count }, (_, index) => this.name(this.made + index));
    this.made += count;
    return names;
  }

  private name(index: number): string {
    return join(this.directory, `pipe-${index}`);
  }
}

function makeFifos(names: readonly string[], environment: Record<string, string>): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (problem: string): void =>
      reject(new BelayError("INTERNAL", `Cannot make pipes for the job with "mkfifo": ${problem}`));
    const child = spawn("mkfifo", ["-m", PIPE_MODE, ...names], {
      env: environment,
      stdio: ["ignore", "ignore", "pipe"],
    });
    let problem = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (problem += text));
    child.once("error", (error) => fail(messageOf(error)));
    child.once("close", (code) => (code === 0 ? resolve() : fail(problem.trim() || `exit code ${code}`)));
  });
}
