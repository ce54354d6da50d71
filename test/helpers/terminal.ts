import type { ChildProcess } from "node:child_process";
import { spawn, spawnSync } from "node:child_process";
import path from "node:path";

const MAIN = path.resolve(import.meta.dirname, "../../dist/cli/main.js");
/** Longest wait for a text. Milliseconds. */
const TIMEOUT_MS = 20_000;

/**
 * Python script. Runs a program as the leader of a terminal's session, and keeps the terminal open as a shell does.
 * Prints the program's pid, then its output. Closes the terminal when its own input ends; prints how the program ended.
 */
const PROGRAM = `
import fcntl, os, select, sys, termios
terminal, inside = os.openpty()
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(inside, termios.TIOCSCTTY, 0)
    for descriptor in 0, 1, 2:
        os.dup2(inside, descriptor)
    os.execvp(sys.argv[1], sys.argv[1:])
print("pid", pid, flush=True)
while True:
    ready, _, _ = select.select([0, terminal], [], [])
    if 0 in ready:
        break
    os.write(1, os.read(terminal, 65536))
os.close(terminal)
_, status = os.waitpid(pid, 0)
print("ended", os.waitstatus_to_exitcode(status), flush=True)
`;

/** Whether Python, which makes the terminal, is missing. */
export const noTerminal: boolean = spawnSync("python3", ["-c", "import fcntl, termios"]).status !== 0;

/** A `belay` process at its own terminal. */
export class AtTerminal implements AsyncDisposable {
  /** How it ended: its exit code, or minus the signal's number. */
  readonly ended: Promise<number>;
  private readonly child: ChildProcess;
  private output = "";
  private readonly waiting = new Set<() => void>();

  /** @param options.nohup run it under nohup, in this directory */
  constructor(args: readonly string[], options: { nohup?: string } = {}) {
    const nohup = options.nohup === undefined ? [] : ["nohup"];
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("BELAY_")));
    this.child = spawn("python3", ["-c", PROGRAM, ...nohup, process.execPath, MAIN, ...args], {
      cwd: options.nohup,
      env,
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.child.stdout?.on("data", (data) => {
      this.output += String(data);
      for (const check of this.waiting) check();
    });
    this.ended = this.says(/^ended (-?\d+)$/m).then(([, code]) => Number(code));
    // A test that awaits it gets the error; without one, it must not be an unhandled rejection.
    this.ended.catch(() => undefined);
  }

  get pid(): number {
    return Number(/^pid (\d+)$/m.exec(this.output)?.[1]);
  }

  /** Waits until its output matches. */
  says(pattern: RegExp): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiting.delete(check);
        reject(new Error(`Not within ${TIMEOUT_MS} ms: ${String(pattern)}; it wrote ${this.output}`));
      }, TIMEOUT_MS);
      const check = (): void => {
        const match = pattern.exec(this.output);
        if (match === null) return;
        clearTimeout(timer);
        this.waiting.delete(check);
        resolve(match);
      };
      this.waiting.add(check);
      check();
    });
  }

  /** Closes the terminal, as when its window is closed. */
  closeTerminal(): void {
    this.child.stdin?.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!/^ended /m.test(this.output) && this.pid > 0) process.kill(this.pid, "SIGKILL");
    this.closeTerminal();
    await this.ended.catch(() => undefined);
  }
}
