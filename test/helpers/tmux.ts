import { execFile, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { onTestFinished } from "vitest";

const MAIN = path.resolve(import.meta.dirname, "../../dist/cli/main.js");
/** Longest wait for a text on the screen. Milliseconds. */
const TIMEOUT_MS = 20_000;

const run = promisify(execFile);

/** Why tests in a terminal are skipped. Undefined: they are not. */
export const noTmux: string | undefined =
  spawnSync("tmux", ["-V"]).status === 0 ? undefined : "there is no tmux on this machine";

/** A real terminal of tmux, with a shell in it. It is closed when the test is over. */
export class TmuxTerminal {
  private readonly socket: string;

  private constructor(socket: string) {
    this.socket = socket;
  }

  static async open(columns: number, rows: number, env: Record<string, string> = {}): Promise<TmuxTerminal> {
    const terminal = new TmuxTerminal(`belay-${process.pid}-${randomBytes(4).toString("hex")}`);
    onTestFinished(async () => {
      await terminal.tmux("kill-server").catch(() => undefined);
    });
    const inherited = Object.entries(process.env).filter(([name]) => !/^BELAY_|^NO_COLOR$|^TMUX/.test(name));
    const all = { ...Object.fromEntries(inherited), LC_ALL: "C.UTF-8", PS1: "$ ", ENV: "", ...env };
    const size = ["-x", String(columns), "-y", String(rows)];
    await run("tmux", ["-L", terminal.socket, "-f", "/dev/null", "new-session", "-d", ...size, "sh"], { env: all });
    // The shell is ready when it has printed its prompt.
    await terminal.until(/\S/);
    return terminal;
  }

  /** Opens a terminal and starts a command of Belay in it. */
  static async belay(columns: number, rows: number, args: readonly string[]): Promise<TmuxTerminal> {
    const terminal = await TmuxTerminal.open(columns, rows);
    await terminal.type(`${process.execPath} ${MAIN} ${args.join(" ")}`, "Enter");
    return terminal;
  }

  /** The lines of the screen, without blanks at their ends. */
  async lines(): Promise<string[]> {
    const { stdout } = await this.tmux("capture-pane", "-p");
    return stdout.split("\n").slice(0, -1);
  }

  /** Waits until the screen is as wanted. Returns its lines. */
  async until(wanted: RegExp | ((lines: readonly string[]) => boolean)): Promise<string[]> {
    const late = performance.now() + TIMEOUT_MS;
    for (;;) {
      const lines = await this.lines();
      if (wanted instanceof RegExp ? wanted.test(lines.join("\n")) : wanted(lines)) return lines;
      if (performance.now() > late) throw new Error(`Waited for ${String(wanted)}; the screen is\n${lines.join("\n")}`);
      // tmux has no event for a change of the screen.
      await sleep(50);
    }
  }

  /** Types keys by tmux's names (`Enter`, `C-c`, `Up`), or any other text. */
  async type(...keys: readonly string[]): Promise<void> {
    await this.tmux("send-keys", ...keys);
  }

  /** Pastes, as a mouse does. */
  async paste(text: string): Promise<void> {
    await this.tmux("set-buffer", text);
    await this.tmux("paste-buffer", "-p");
  }

  /** Types a command for the shell. */
  shell(command: string): Promise<void> {
    return this.type("-l", `${command}\n`);
  }

  /** The terminal's modes, as stty prints them. */
  async settings(): Promise<string> {
    const { stdout: tty } = await this.tmux("display-message", "-p", "#{pane_tty}");
    return (await run("stty", ["-F", tty.trim(), "-a"])).stdout;
  }

  /** The process that the shell has started. */
  async childPid(): Promise<number> {
    const { stdout: shell } = await this.tmux("display-message", "-p", "#{pane_pid}");
    return Number(await readFile(`/proc/${shell.trim()}/task/${shell.trim()}/children`, "utf8"));
  }

  async resize(columns: number, rows: number): Promise<void> {
    await this.tmux("resize-window", "-x", String(columns), "-y", String(rows));
  }

  /** The text with colours, as escape sequences. */
  async colored(): Promise<string> {
    return (await this.tmux("capture-pane", "-p", "-e")).stdout;
  }

  private tmux(...args: readonly string[]): Promise<{ stdout: string }> {
    return run("tmux", ["-L", this.socket, ...args]);
  }
}
