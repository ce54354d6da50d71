import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { sleep, systemClock } from "../../../../base/clock.ts";
import { takeReaped } from "../../tree/reaped.ts";

/** A query that takes longer hangs. Drivers hang, most often on a machine that is about to fail. */
export const QUERY_TIMEOUT_MS = 10_000;
/** A longer output is not an answer of nvidia-smi: its line for a device or a process is about 100 bytes. */
const MOST_OUTPUT_BYTES = 1 << 20;
/** How long a killed query may take to end. A query that sleeps in the driver cannot be killed. */
const REAP_MS = 1000;

/**
 * Runs the query in a process group that does not outlive us: if its stdin closes before a line has arrived, the agent
 * is dead, whatever killed it, and the script kills the whole group. We send the line when the output has ended.
 */
const SCRIPT = `"$@" </dev/null & child=$!
exec >&- 2>&-
read -r word || kill -KILL 0
wait "$child"`;

/** Queries nvidia-smi, one query at a time. */
export class NvidiaSmi {
  private readonly file: string;
  private readonly environment: Record<string, string>;
  private readonly timeout: number;
  private child: ChildProcessWithoutNullStreams | undefined;
  /** Ends the wait for the query under way. */
  private abandon: ((why: string) => void) | undefined;

  /** @param timeout of a query, milliseconds */
  constructor(file: string, environment: Record<string, string>, timeout: number = QUERY_TIMEOUT_MS) {
    this.file = file;
    this.environment = environment;
    this.timeout = timeout;
  }

  /**
   * Runs one query. Rejects with the reason in the error's message, soon after the time-out at the latest.
   *
   * @param question such as `--query-gpu=name`
   */
  query(question: string): Promise<string> {
    if (this.child !== undefined) return Promise.reject(new Error("an earlier query does not end"));
    const args = ["-c", SCRIPT, "belay-gpu", this.file, question, "--format=csv,noheader,nounits"];
    const child = spawn("/bin/sh", args, { cwd: "/", detached: true, env: this.environment });
    this.child = child;
    return new Promise((resolve, reject) => {
      let output = "";
      let problem: string | undefined;
      const kill = (why: string): void => {
        problem ??= why;
        killGroup(child);
      };
      const append = (text: string): void => {
        if (output.length + text.length <= MOST_OUTPUT_BYTES) output += text;
        else kill("its output does not end");
      };
      child.stdin.on("error", () => undefined);
      child.stdout.setEncoding("utf8").on("data", append);
      child.stderr.setEncoding("utf8").on("data", append);
      child.stdout.once("end", () => child.stdin.write("\n"));
      const timer = systemClock.after(this.timeout, () => kill(`no answer within ${this.timeout} ms`));
      // The query delays neither the next sample nor the agent's end. No other query starts before it has ended.
      this.abandon = (why) => {
        for (const one of [child, child.stdin, child.stdout, child.stderr])
          (one as unknown as { unref(): void }).unref();
        reject(new Error(`${why}, and it cannot be killed`));
      };
      const late = systemClock.after(this.timeout + REAP_MS, () => {
        this.abandon?.(`no answer within ${this.timeout} ms`);
      });
      const over = (code: number | null, why: string | undefined): void => {
        timer.cancel();
        late.cancel();
        this.child = undefined;
        this.abandon = undefined;
        if (why === undefined && code === 0) resolve(output);
        else reject(new Error(why ?? `exit code ${code ?? "none"}: ${output.trim().slice(0, 200)}`));
      };
      child.once("error", (error) => over(null, error.message));
      // Discards what the query used: it is not the job's.
      child.once("exit", () => takeReaped());
      child.once("close", (code) => over(code, problem));
    });
  }

  /** Kills the query that is under way, if any. Resolves when it has ended, or after a bound. */
  async close(): Promise<void> {
    const { child } = this;
    if (child === undefined) return;
    const gone = once(child, "close");
    killGroup(child);
    const waiting = new AbortController();
    await Promise.race([gone, sleep(REAP_MS, waiting.signal)]).catch(() => undefined);
    waiting.abort();
    this.abandon?.("the agent ends");
  }
}

function killGroup({ pid }: ChildProcessWithoutNullStreams): void {
  try {
    if (pid !== undefined) process.kill(-pid, "SIGKILL");
  } catch {
    // The group has just ended.
  }
}
