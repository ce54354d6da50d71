import { spawnSync } from "node:child_process";
import fs from "node:fs";
import type { Inherited } from "../../../base/process/inherited.ts";

/**
 * Signals that are not passed on as ignored or blocked, by number: KILL and STOP cannot be. PIPE is ignored by runtimes and
 * service managers for themselves, and CHLD would keep a shell from waiting for its children.
 */
const NEVER = new Set([9, 13, 17, 19]);
const MOST_SIGNALS = 31;
/** A name that dash and busybox keep in the environment. */
const SHELL_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** How a step is started so that it inherits what the agent was started with. */
interface InheritStart {
  /** Programs and arguments before its command; each ends by executing the rest. Empty: Node has changed nothing. */
  readonly prefix: readonly string[];
  /** What cannot be passed on, as a clause. Empty: nothing. */
  readonly lost: string;
}

/**
 * Node raises the soft limit of open files for itself and its children, and resets which signals are ignored and blocked.
 * It can undo neither, so programs do it between its fork and the step's exec: prlimit (util-linux) and env (coreutils
 * from 8.31), which leave the environment as it is; without them a shell, which would drop variables with odd names.
 *
 * @param environment of the step
 * @param ends numbers of the signals that warn of the end and ask for it: never ignored or blocked
 */
export function inheritStart(
  inherited: Inherited | undefined,
  environment: Readonly<Record<string, string>>,
  ends: readonly (number | undefined)[],
): InheritStart {
  if (inherited === undefined) return { prefix: [], lost: "" };
  const prefix: string[] = [];
  const script: string[] = [];
  const ignored = numbers(inherited.ignoredSignals, ends);
  const blocked = numbers(inherited.blockedSignals, ends);
  let lost = "";
  if (ignored.length + blocked.length > 0) {
    const env = signalEnv();
    if (env !== undefined) {
      if (ignored.length > 0) prefix.push(env, `--ignore-signal=${ignored.join(",")}`);
      if (blocked.length > 0) prefix.push(env, `--block-signal=${blocked.join(",")}`);
    } else {
      if (ignored.length > 0) script.push(`trap '' ${ignored.join(" ")}`);
      if (blocked.length > 0) lost = `blocked signals (${blocked.join(", ")}); no env with --block-signal was found`;
    }
  }
  const { openFiles } = inherited;
  if (openFiles !== undefined && openFiles !== softLimit()) {
    const prlimit = program("prlimit");
    if (prlimit === undefined) script.push(`ulimit -Sn ${openFiles}`);
    else prefix.push(prlimit, `--nofile=${openFiles}:`, "--");
  }
  if (script.length === 0) return { prefix, lost };
  const droppedName = Object.keys(environment).find((name) => !SHELL_NAME.test(name));
  if (droppedName !== undefined) {
    return {
      prefix,
      lost: `"${script.join("; ")}"; prlimit or env is missing, and a shell would drop the variable "${droppedName}"`,
    };
  }
  return { prefix: ["/bin/sh", "-c", `${script.join("; ")}; exec "$@"`, "sh", ...prefix], lost };
}

function numbers(bits: number, except: readonly (number | undefined)[]): number[] {
  const all = Array.from({ length: MOST_SIGNALS }, (_, index) => index + 1);
  return all.filter((signal) => (bits & (1 << (signal - 1))) !== 0 && !NEVER.has(signal) && !except.includes(signal));
}

/** The soft limit of this process now; undefined: not known, or unlimited. */
function softLimit(): number | undefined {
  try {
    const found = /^Max open files\s+(\d+)/m.exec(fs.readFileSync("/proc/self/limits", "latin1"))?.[1];
    return found === undefined ? undefined : Number(found);
  } catch {
    return undefined;
  }
}

/** An env(1) that can set signals; that of busybox and older ones cannot. */
function signalEnv(): string | undefined {
  const env = program("env");
  if (env === undefined) return undefined;
  return spawnSync(env, ["--ignore-signal=1", "true"], { stdio: "ignore" }).status === 0 ? env : undefined;
}

/** Not found by PATH, which is the job's. */
function program(name: string): string | undefined {
  return [`/usr/bin/${name}`, `/bin/${name}`].find((path) => fs.existsSync(path));
}
