import { execa } from "execa";

/** Longest wait for an agent that was asked to stop; then SIGKILL, and its watcher ends the job. */
const STOP_TIMEOUT_MS = 3_000;

function start(args: readonly string[], env: Record<string, string | undefined>) {
  return execa(process.execPath, args, {
    env,
    extendEnv: false,
    stdin: "ignore",
    stdout: "ignore",
    reject: false,
    forceKillAfterDelay: STOP_TIMEOUT_MS,
  });
}

/** A separate `belay run` process, as on a worker. It is ended when this process ends. */
export class AgentProcess {
  /** Its standard error. */
  remarks = "";
  /** Resolves with its exit code when it has ended; -1 if a signal ended it or it could not be started. */
  readonly ended: Promise<number>;
  private readonly child: ReturnType<typeof start>;

  /** @param args arguments after `belay` */
  constructor(args: readonly string[], env: Readonly<Record<string, string | undefined>>) {
    const main = process.argv[1] ?? "";
    // The user's own settings must not change the demo.
    const clean = Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith("BELAY_")));
    this.child = start([main, ...args], clean);
    this.child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.remarks += text;
    });
    this.ended = this.child.then(({ exitCode }) => exitCode ?? -1);
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** Stops the agent and its job; resolves when the agent has ended. */
  async stop(): Promise<void> {
    this.child.kill("SIGTERM");
    // The second signal skips the grace period.
    const secondSignal = setTimeout(() => this.child.kill("SIGTERM"), STOP_TIMEOUT_MS / 3);
    await this.ended;
    clearTimeout(secondSignal);
  }
}
