import fs from "node:fs";

/** One process as `/proc/PID/stat` shows it. A process is its pid *and* its start time: pids are used again. */
export interface ProcessEntry {
  readonly pid: number;
  readonly parentPid: number;
  readonly group: number;
  readonly session: number;
  /** State letter: R, S, D, T, Z … */
  readonly state: string;
  /** Clock ticks since boot. */
  readonly startTime: number;
  /** Short name, as the kernel keeps it. */
  readonly name: string;
  /** Clock ticks of processor time, user and system. */
  readonly ticks: number;
  /** The same of its children that ended and were waited for. */
  readonly childTicks: number;
  readonly threads: number;
  /** Resident memory. */
  readonly memoryBytes: number;
}

/** Clock ticks in a second; Linux shows 100 to programs on every machine that Node runs on. */
export const TICKS_PER_SECOND = 100;
const PAGE_BYTES = 4096;

// One buffer serves all reads: they are synchronous, and nothing keeps a view of it.
const scratch = Buffer.allocUnsafe(128 * 1024);

/** Whether processes can be looked at: macOS has no /proc. */
export function hasProc(): boolean {
  return process.platform === "linux";
}

/** The beginning of a small file of the kernel, at most 128 KiB, or undefined when it is gone or not to be read. */
export function readKernelFile(path: string): string | undefined {
  let fd: number;
  try {
    fd = fs.openSync(path, "r");
  } catch {
    return undefined;
  }
  try {
    return scratch.toString("latin1", 0, fs.readSync(fd, scratch, 0, scratch.length, null));
  } catch {
    return undefined;
  } finally {
    fs.closeSync(fd);
  }
}

/** Pids of all processes that may be seen, the oldest first as far as pids have not begun anew. */
export function listPids(): number[] {
  let names: string[];
  try {
    names = fs.readdirSync("/proc");
  } catch {
    return [];
  }
  const pids: number[] = [];
  for (const name of names) {
    const first = name.charCodeAt(0);
    if (first >= 49 && first <= 57) pids.push(Number(name));
  }
  const last = Number(readKernelFile("/proc/loadavg")?.trim().split(" ").at(-1) ?? 0);
  // Pids are given out in a circle; those above the last one are of the round before.
  const turn = pids.findIndex((pid) => pid > last);
  return turn <= 0 || last === 0 ? pids : [...pids.slice(turn), ...pids.slice(0, turn)];
}

/** Looks at one process, or undefined when there is none of that pid. */
export function readProcess(pid: number): ProcessEntry | undefined {
  const text = readKernelFile(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  // The name may hold spaces and parentheses, so fields are counted from its end (proc_pid_stat(5)).
  const open = text.indexOf("(");
  const close = text.lastIndexOf(")");
  if (open < 0 || close < open) return undefined;
  const field = text.slice(close + 2).split(" ");
  const number = (index: number): number => Number(field[index - 3] ?? 0);
  return {
    pid,
    name: Buffer.from(text.slice(open + 1, close), "latin1").toString(),
    state: field[0] ?? "?",
    parentPid: number(4),
    group: number(5),
    session: number(6),
    ticks: number(14) + number(15),
    childTicks: number(16) + number(17),
    threads: number(20),
    startTime: number(22),
    memoryBytes: number(24) * PAGE_BYTES,
  };
}

/** Whether an entry is more than a zombie: those wait only for their parent to take note. */
export function isAlive(entry: ProcessEntry): boolean {
  return entry.state !== "Z" && entry.state !== "X" && entry.state !== "x";
}

/** Whether this very process is there still and runs. */
export function isStillAlive(entry: { readonly pid: number; readonly startTime: number }): boolean {
  const now = readProcess(entry.pid);
  return now !== undefined && now.startTime === entry.startTime && isAlive(now);
}

/**
 * Whether the environment with which a process was started holds some ASCII text. Undefined when that cannot be told
 * now: it may not be read, or the process is in the middle of an exec and shows none.
 */
export function environmentHolds(pid: number, text: string): boolean | undefined {
  let fd: number;
  try {
    fd = fs.openSync(`/proc/${pid}/environ`, "r");
  } catch {
    return undefined;
  }
  try {
    let kept = 0;
    let total = 0;
    for (;;) {
      const read = fs.readSync(fd, scratch, kept, scratch.length - kept, null);
      if (read === 0) return total === 0 ? undefined : false;
      total += read;
      const end = kept + read;
      if (scratch.subarray(0, end).includes(text, 0, "latin1")) return true;
      // The text may lie across two reads.
      kept = Math.min(end, text.length - 1);
      scratch.copyWithin(0, end - kept, end);
    }
  } catch {
    return undefined;
  } finally {
    fs.closeSync(fd);
  }
}

/** A process's command line for people, cut at 256 bytes, or its short name in brackets if it has none. */
export function commandOf(entry: ProcessEntry): string {
  const text = readKernelFile(`/proc/${entry.pid}/cmdline`)?.slice(0, 256).replaceAll("\0", " ").trim() ?? "";
  return text === "" ? `[${entry.name}]` : Buffer.from(text, "latin1").toString();
}
