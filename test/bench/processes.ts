import { readFileSync } from "node:fs";

/** Ticks of a second in /proc/PID/stat. */
const TICKS = 100;

/** A field of /proc/PID/status that is in kB, in bytes. */
export function memoryOf(pid: number, field: "VmHWM" | "VmRSS"): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? Number.NaN) * 1024;
}

/** Resident memory that no other process shares, in bytes: the cost of one more such process. */
export function privateMemoryOf(pid: number): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const kilobytes = [...rollup.matchAll(/^Private_(?:Clean|Dirty):\s+(\d+) kB/gm)].map(([, value]) => Number(value));
  return kilobytes.reduce((sum, value) => sum + value, 0) * 1024;
}

/** Processor seconds that a process has used, its children not included. */
export function cpuOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

/** Seconds for which a process's main thread could have run, but had to wait for a core. */
export function waitedForCoreOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, "utf8").split(" ")[1]) / 1e9;
}

/** Now, in milliseconds since the Unix epoch, finer than `Date.now()`. */
export function wallClock(): number {
  return performance.timeOrigin + performance.now();
}

/** Milliseconds since the Unix epoch, from the output of `date +%s%N`. */
export function stampOf(nanoseconds: string): number {
  return Number(BigInt(nanoseconds.trim()) / 1000n) / 1000;
}

/** Processor seconds of a bash's children, from the output of `times`: a line for bash, and one for its children. */
export function childrenCpu(times: string): number {
  const line = times.trim().split("\n").at(-1) ?? "";
  return [...line.matchAll(/(\d+)m([\d.]+)s/g)].reduce((sum, [, m, s]) => sum + Number(m) * 60 + Number(s), 0);
}
