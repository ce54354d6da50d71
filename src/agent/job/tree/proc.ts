import fs from "node:fs";
import { errnoOf } from "../../../base/errors.ts";

/** One process as `/proc/PID/stat` shows it. Pid *and* start time identify a process: the kernel reuses pids. */
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
  /** Clock ticks of its children that ended and were waited for. */
  readonly childTicks: number;
  readonly threads: number;
  /** Resident memory. */
  readonly memoryBytes: number;
}

/** Clock ticks in a second; Linux shows 100 to programs on every machine that Node runs on. */
export const TICKS_PER_SECOND = 100;
/** Type of the entry in `/proc/self/auxv` that holds the size of a page: AT_PAGESZ of getauxval(3). */
const AUXV_PAGE_SIZE = 6n;

const OPEN = "(".charCodeAt(0);
const CLOSE = ")".charCodeAt(0);
const SPACE = " ".charCodeAt(0);
const DIGIT_0 = "0".charCodeAt(0);
const DIGIT_9 = "9".charCodeAt(0);

// One buffer is enough for all reads: they are synchronous, and no caller keeps a view of it.
const scratch = Buffer.allocUnsafe(128 * 1024);

/** Whether there is a /proc: macOS has none. */
export function hasProc(): boolean {
  return process.platform === "linux";
}

/** The content of a kernel file, at most 128 KiB, or undefined when it is gone or may not be read. */
export function readKernelFile(path: string): string | undefined {
  return read(path, false);
}

/** Like `readKernelFile`, for a file that one read returns whole, such as those in `/proc/PID`. */
export function readKernelRecord(path: string): string | undefined {
  return read(path, true);
}

function read(path: string, record: boolean): string | undefined {
  const length = readToScratch(path, record);
  return length === undefined ? undefined : scratch.toString("latin1", 0, length);
}

/** @returns how many bytes of the file are in `scratch` */
function readToScratch(path: string, record: boolean): number | undefined {
  let fd: number;
  try {
    fd = fs.openSync(path, "r");
  } catch {
    return undefined;
  }
  try {
    let length = 0;
    for (;;) {
      // One read of a list returns at most a page: about 600 pids.
      const read = fs.readSync(fd, scratch, length, scratch.length - length, null);
      length += read;
      if (record || read === 0 || length === scratch.length) return length;
    }
  } catch {
    return undefined;
  } finally {
    fs.closeSync(fd);
  }
}

/** The pid namespace of the machine itself, whose number is fixed: PROC_PID_INIT_INO of the kernel. */
const MACHINE_PIDS = "pid:[4026531836]";

/** Whether pids here are those that the kernel's drivers use; in a container they are not. */
export function seesMachinePids(): boolean {
  try {
    return fs.readlinkSync("/proc/self/ns/pid") === MACHINE_PIDS;
  } catch {
    return false;
  }
}

/** Pids of all visible processes, the oldest first, also after pids have started again from the lowest. */
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
  // The kernel gives out pids in a circle; those above the last one are from the round before.
  const turn = pids.findIndex((pid) => pid > last);
  return turn <= 0 || last === 0 ? pids : [...pids.slice(turn), ...pids.slice(0, turn)];
}

/** The last field of `/proc/PID/stat` that is needed. Fields are numbered as in proc_pid_stat(5). */
const LAST_FIELD = 24;
const fields = new Float64Array(LAST_FIELD + 1);

/**
 * Reads one process; undefined when no process has that pid. One scan reads hundreds of processes, so the fields are
 * parsed from the bytes, without a string.
 */
export function readProcess(pid: number): ProcessEntry | undefined {
  const length = readToScratch(`/proc/${pid}/stat`, true);
  // The name may contain spaces and parentheses, so fields are counted from its end.
  const open = scratch.indexOf(OPEN);
  const close = length === undefined ? -1 : scratch.lastIndexOf(CLOSE, length - 1);
  if (length === undefined || open < 0 || close < open || close + 3 > length) return undefined;
  parseFields(close + 4, length);
  const field = (index: number): number => fields[index] ?? 0;
  return {
    pid,
    name: scratch.toString("utf8", open + 1, close),
    state: String.fromCharCode(scratch[close + 2] ?? 0),
    parentPid: field(4),
    group: field(5),
    session: field(6),
    ticks: field(14) + field(15),
    childTicks: field(16) + field(17),
    threads: field(20),
    startTime: field(22),
    memoryBytes: field(24) * pageBytes(),
  };
}

/** Parses numbers separated by single spaces into `fields`, from field 4 on. No field that we need is negative. */
function parseFields(from: number, to: number): void {
  let index = 4;
  let value = 0;
  for (let at = from; at < to && index <= LAST_FIELD; at++) {
    const byte = scratch[at] ?? 0;
    if (byte >= DIGIT_0 && byte <= DIGIT_9) value = value * 10 + byte - DIGIT_0;
    else if (byte === SPACE) {
      fields[index++] = value;
      value = 0;
    }
  }
}

let knownPageBytes: number | undefined;

/** Size of a page: 4096 on x64, and up to 65536 on arm64. */
export function pageBytes(): number {
  return (knownPageBytes ??= readPageBytes());
}

function readPageBytes(): number {
  const auxv = Buffer.from(readKernelFile("/proc/self/auxv") ?? "", "latin1");
  for (let at = 0; at + 16 <= auxv.length; at += 16) {
    if (auxv.readBigUInt64LE(at) === AUXV_PAGE_SIZE) return Number(auxv.readBigUInt64LE(at + 8));
  }
  return 4096;
}

/** Whether a process has this pid; a zombie counts. Cheaper than `readProcess`. */
export function pidExists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errnoOf(error) === "EPERM";
  }
}

/**
 * How many file descriptors a process has open.
 *
 * @returns undefined when the process is gone, or its files may not be listed
 */
export function countOpenFiles(pid: number): number | undefined {
  const directory = `/proc/${pid}/fd`;
  try {
    // Since Linux 6.2 the size of the directory is the number of open files; before, it is 0.
    const size = fs.statSync(directory, { throwIfNoEntry: false })?.size;
    if (size === undefined || size > 0) return size;
    return fs.readdirSync(directory).length;
  } catch {
    return undefined;
  }
}

/** The same for several processes; undefined when one of them is alive and its files may not be listed. */
export function sumOpenFiles(entries: readonly ProcessEntry[]): number | undefined {
  let sum = 0;
  for (const entry of entries) {
    const count = isAlive(entry) ? countOpenFiles(entry.pid) : 0;
    if (count === undefined && pidExists(entry.pid)) return undefined;
    sum += count ?? 0;
  }
  return sum;
}

/**
 * The status with which a process ends, as its parent will get it from wait(2). Known from shortly before the kernel
 * closes the process's files until its parent has waited for it; 0 before, and for a process of another user.
 */
export function waitStatus(pid: number): number {
  return Number(readKernelRecord(`/proc/${pid}/stat`)?.trimEnd().split(" ").at(-1) ?? 0);
}

/** Whether a process is not a zombie. A zombie has ended and waits only for its parent to collect its exit code. */
export function isAlive(entry: ProcessEntry): boolean {
  return entry.state !== "Z" && entry.state !== "X" && entry.state !== "x";
}

/** Whether this very process, not a later one with its pid, is still alive. */
export function isStillAlive(entry: { readonly pid: number; readonly startTime: number }): boolean {
  const now = readProcess(entry.pid);
  return now !== undefined && now.startTime === entry.startTime && isAlive(now);
}

/**
 * Whether the environment with which a process was started contains an ASCII text. Undefined when that is not known
 * now: the environment may not be read, or the process is in the middle of an exec and shows none.
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
      // The text may be split across two reads.
      kept = Math.min(end, text.length - 1);
      scratch.copyWithin(0, end - kept, end);
    }
  } catch {
    return undefined;
  } finally {
    fs.closeSync(fd);
  }
}

/** Most bytes of a process's command line that a user is shown. */
const MOST_COMMAND_BYTES = 256;

/** A process's command line for a user: whole words of at most 256 bytes, or its short name in brackets if it has none. */
export function commandOf(entry: ProcessEntry): string {
  const whole = readKernelFile(`/proc/${entry.pid}/cmdline`)?.replaceAll("\0", " ").trim() ?? "";
  const short = firstWords(whole, MOST_COMMAND_BYTES);
  return short === "" ? `[${entry.name}]` : Buffer.from(short, "latin1").toString();
}

/** Cut between two words: a secret that is cut in two would not be recognised, and shown in part. */
function firstWords(text: string, most: number): string {
  if (text.length <= most) return text;
  return text.slice(0, Math.max(0, text.slice(0, most + 1).search(/\s\S*$/)));
}
