import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { once } from "node:events";

/** Longest wait for an agent that was told to stop. */
const STOP_TIMEOUT_MS = 3_000;

/** A `belay run` process of its own, as on a worker. */
export class AgentProcess {
  /** What it said on standard error. */
  remarks = "";
  /** Resolves with its exit code when it has ended; -1 if a signal ended it or it could not be started. */
  readonly ended: Promise<number>;
  private readonly child: ChildProcess;

  /** @param args what follows `belay` */
  constructor(args: readonly string[], env: Readonly<Record<string, string | undefined>>) {
    const main = process.argv[1] ?? "";
    // None of the user's own settings: the demo is its own world.
    const clean = Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith("BELAY_")));
    this.child = spawn(process.execPath, [main, ...args], { env: clean, stdio: ["ignore", "ignore", "pipe"] });
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.remarks += text;
    });
    this.ended = new Promise((resolve) => {
      this.child.once("close", (code) => resolve(code ?? -1));
      this.child.once("error", (error) => {
        this.remarks += error.message;
        resolve(-1);
      });
    });
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** Makes it stop, with its job; resolves when it has. */
  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null || this.child.pid === undefined) return;
    const gone = once(this.child, "exit");
    this.child.kill("SIGTERM");
    // The second signal skips the grace period, the last one leaves the rest to the agent's watcher.
    const insist = setTimeout(() => this.child.kill("SIGTERM"), STOP_TIMEOUT_MS / 3);
    const kill = setTimeout(() => this.child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    await gone;
    clearTimeout(insist);
    clearTimeout(kill);
  }
}
