import { readFileSync } from "node:fs";

/** Whether a process runs. A zombie does not: on some machines, init reaps late. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return !["Z", "X"].includes(stat.slice(stat.lastIndexOf(")") + 2).charAt(0));
  } catch {
    return false;
  }
}
