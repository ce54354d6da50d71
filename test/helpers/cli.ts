import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach } from "vitest";

/** The built command; with BELAY_TEST_BUNDLE=plain the one with unpatched dependencies. */
export const MAIN: string = path.resolve(
  import.meta.dirname,
  "../../dist",
  process.env["BELAY_TEST_BUNDLE"] === "plain" ? "plain" : "cli",
  "main.js",
);
/** `PATH` with the directory of this Node first: the command finds `node` there. */
export const NODE_PATH: string = `${path.dirname(process.execPath)}:${process.env["PATH"] ?? ""}`;
/** Longest wait for a line or an end. Milliseconds. */
const TIMEOUT_MS = 20_000;

const running = new Set<Cli>();
const directories = new Set<string>();

afterEach(async () => {
  await Promise.all([...running].map((cli) => cli.kill("SIGKILL")));
  await Promise.all([...directories].map((directory) => rm(directory, { recursive: true, force: true })));
  directories.clear();
});

/** How a command is started. */
export interface CliOptions {
  readonly env?: Record<string, string>;
  readonly cwd?: string;
  /** Its standard input. */
  readonly stdin?: string;
  /** Flags of Node. With them, the command is started without its own launcher. */
  readonly nodeFlags?: readonly string[];
}

/** A `belay` process. It is killed when the test ends. */
export class Cli {
  readonly child: ChildProcess;
  /** Resolves when it has ended and its output was read: with its exit code, or with the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>;
  private readonly out: Buffer[] = [];
  private readonly err: Buffer[] = [];
  private readonly waiting = new Set<() => void>();

  constructor(args: readonly string[], options: CliOptions = {}) {
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("BELAY_"));
    const { nodeFlags } = options;
    const [file, ...before] = nodeFlags === undefined ? [MAIN] : [process.execPath, ...nodeFlags, MAIN];
    this.child = spawn(file ?? MAIN, [...before, ...args], {
      cwd: options.cwd,
      env: { ...Object.fromEntries(inherited), PATH: NODE_PATH, ...options.env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.child.stdin?.on("error", () => undefined).end(options.stdin ?? "");
    this.child.stdout?.on("data", (chunk: Buffer) => this.take(this.out, chunk));
    this.child.stderr?.on("data", (chunk: Buffer) => this.take(this.err, chunk));
    running.add(this);
    this.ended = new Promise((resolve) => {
      this.child.once("close", (code, signal) => {
        running.delete(this);
        this.wake();
        resolve(code ?? signal ?? -1);
      });
    });
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }
  get stdout(): string {
    return this.stdoutBytes.toString("utf8");
  }
  get stdoutBytes(): Buffer {
    return Buffer.concat(this.out);
  }
  get stderr(): string {
    return Buffer.concat(this.err).toString("utf8");
  }

  /** Waits until its output matches. @returns the match */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    const late = performance.now() + TIMEOUT_MS;
    for (;;) {
      const match = pattern.exec(this.stdout) ?? pattern.exec(this.stderr);
      if (match !== null) return match;
      const over = this.child.exitCode !== null || this.child.signalCode !== null;
      if ((over && !running.has(this)) || performance.now() > late) {
        const state = over ? `it ended with ${this.child.exitCode}` : `not within ${TIMEOUT_MS} ms`;
        throw new Error(`Waited for ${String(pattern)}: ${state}\nstdout: ${this.stdout}\nstderr: ${this.stderr}`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.max(1, late - performance.now()));
        this.waiting.add(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  async kill(signal: NodeJS.Signals): Promise<number | NodeJS.Signals> {
    this.child.kill(signal);
    return this.ended;
  }

  private take(into: Buffer[], chunk: Buffer): void {
    into.push(chunk);
    this.wake();
  }

  private wake(): void {
    for (const wake of this.waiting) wake();
    this.waiting.clear();
  }
}

/** Starts a command, without waiting for its end. */
export function belay(args: readonly string[], options: CliOptions = {}): Cli {
  return new Cli(args, options);
}

/** Exit code and output of a command that has ended. */
export interface Finished {
  readonly code: number | NodeJS.Signals;
  readonly stdout: string;
  readonly stderr: string;
  readonly stdoutBytes: Buffer;
}

/** Runs a command to its end. */
export async function belayEnds(args: readonly string[], options: CliOptions = {}): Promise<Finished> {
  const cli = new Cli(args, options);
  const code = await cli.ended;
  return { code, stdout: cli.stdout, stderr: cli.stderr, stdoutBytes: cli.stdoutBytes };
}

/** An empty directory, removed when the test ends. */
export async function tempDirectory(): Promise<string> {
  const directory = await mkdtemp(path.join(tmpdir(), "belay-story-"));
  directories.add(directory);
  return directory;
}

/** A `belay tracker` process, and commands that call it. */
export class TrackerProcess {
  readonly cli: Cli;
  readonly url: string;
  readonly data: string;

  private constructor(cli: Cli, url: string, data: string) {
    this.cli = cli;
    this.url = url;
    this.data = data;
  }

  /** Starts a tracker, by default on a free port. */
  static async start(
    options: { data?: string; listen?: string; args?: readonly string[] } = {},
  ): Promise<TrackerProcess> {
    const data = options.data ?? (await tempDirectory());
    const listen = options.listen ?? "127.0.0.1:0";
    const quick = ["--heartbeat-interval", "300ms", "--lease", "3s", "--log-level", "warn"];
    const cli = belay(["tracker", "--listen", listen, "--data", data, ...quick, ...(options.args ?? [])]);
    const [, url = ""] = await cli.says(/^listening on (\S+), data in /m);
    return new TrackerProcess(cli, url, data);
  }

  /** Kills it with SIGKILL, and starts another one with the same data and address. */
  async killAndRestart(): Promise<TrackerProcess> {
    await this.cli.kill("SIGKILL");
    return TrackerProcess.start({ data: this.data, listen: new URL(this.url).host });
  }

  /** Starts a command against it. */
  belay(command: string, ...args: string[]): Cli {
    return belay([command, "--tracker", this.url, ...args]);
  }

  /** Runs a command against it to its end. */
  ends(command: string, ...args: string[]): Promise<Finished> {
    return belayEnds([command, "--tracker", this.url, ...args]);
  }
}
