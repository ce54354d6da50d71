import { spawn } from "node:child_process";
import fs from "node:fs";
import { systemClock } from "../../../base/clock.ts";
import { realTimeSignal, type Signal } from "../../../base/process/signals.ts";
import { raiseOomScore } from "../tree/oom-score.ts";
import { argumentsProblem } from "./argument-limits.ts";
import { checkWorkingDirectory, findExecutable } from "./executable.ts";
import { hasProc, readProcess, waitStatus } from "../tree/proc.ts";
import { problemOf, SpawnProblem } from "./spawn-problem.ts";
import type { ProcessTree } from "../tree/tree.ts";

/** How a process ended. Exactly one is set. */
export interface ExitStatus {
  readonly code: number | undefined;
  readonly signal: Signal | undefined;
  /** Milliseconds since the Unix epoch. */
  readonly time: number;
}

/** A step's own process. */
export interface SpawnedProcess {
  readonly pid: number;
  readonly exited: Promise<ExitStatus>;
  /** How it ended, once it has. */
  exit: ExitStatus | undefined;
  /**
   * Must be called when a pipe of the process has been closed by its last writer. If that is because the process is dying,
   * what kills it can be seen now, and no later: Node reports a death by a real-time signal as an exit with code 0.
   */
  outputEnded(): void;
  /** Whether it has ended by itself, whether Node has reported that or not. */
  hasEnded(): boolean;
}

/** What to start. */
export interface SpawnOptions {
  readonly argv: readonly string[];
  /** Undefined: the agent's. */
  readonly cwd: string | undefined;
  readonly environment: Record<string, string>;
  /** Write ends of pipes. The caller closes them. */
  readonly stdout: number;
  readonly stderr: number;
  readonly tree: ProcessTree;
  /** Programs that end by executing the rest of their command line. @default none */
  readonly prefix?: readonly string[];
}

/**
 * Starts a program: stdin is /dev/null, it leads a session and process group of its own, and it belongs to the tree
 * from its first instruction.
 */
export async function spawnStep(options: SpawnOptions): Promise<SpawnedProcess | SpawnProblem> {
  const { argv, cwd, environment, tree, prefix = [] } = options;
  const name = argv[0] ?? "";
  const badDirectory = cwd === undefined ? undefined : checkWorkingDirectory(cwd);
  if (badDirectory !== undefined) return badDirectory;
  const file = findExecutable(name, cwd, environment["PATH"]);
  if (file instanceof SpawnProblem) return file;
  const tooLong = argumentsProblem(argv, environment);
  if (tooLong !== undefined) return tooLong;
  // By its name, as it is called: the program that executes it searches PATH as we did. Without PATH it cannot.
  const inner = prefix.length === 0 ? name : environment["PATH"] === undefined ? file : name;
  const whole = [...prefix, inner, ...argv.slice(1)];
  const isExact = [cwd ?? "", file, ...Object.entries(environment).flat()].every((text) => text.isWellFormed());
  // Loaded only where it is needed, which is rare.
  const start = isExact
    ? { file: prefix[0] ?? file, argv0: whole[0] ?? name, args: whole.slice(1), cwd, environment }
    : (await import("./exact-start.ts")).exactStart(whole, cwd, environment);
  let child: ReturnType<typeof spawn>;
  try {
    child = tree.start(() =>
      raiseOomScore(() =>
        spawn(start.file, start.args, {
          argv0: start.argv0,
          cwd: start.cwd,
          env: start.environment,
          detached: true,
          stdio: ["ignore", options.stdout, options.stderr],
        }),
      ),
    );
  } catch (error) {
    // Node throws some errors of exec and emits others.
    return problemOf(error, start.file);
  }
  const { pid } = child;
  if (pid === undefined) {
    return new Promise((resolve) => child.once("error", (error) => resolve(problemOf(error, start.file))));
  }
  child.on("error", () => undefined);
  tree.adopt(pid);
  let realTime: Signal | undefined;
  const spawned: SpawnedProcess = {
    pid,
    exit: undefined,
    outputEnded: () => {
      // The bits of wait(2): the signal that killed it, or 0.
      if (spawned.exit === undefined && hasProc()) realTime = realTimeSignal(waitStatus(pid) & 0x7f);
    },
    exited: new Promise((resolve) => {
      child.once("exit", (code, signal) => {
        tree.reaped();
        const how =
          realTime === undefined
            ? { code: code ?? undefined, signal: signal ?? undefined }
            : { code: undefined, signal: realTime };
        spawned.exit = { ...how, time: systemClock.unixMs() };
        resolve(spawned.exit);
      });
    }),
    hasEnded: () => {
      if (spawned.exit !== undefined) return true;
      const entry = fs.existsSync("/proc/self/stat") ? readProcess(pid) : undefined;
      return entry !== undefined && (entry.state === "Z" || entry.state === "X");
    },
  };
  return spawned;
}
