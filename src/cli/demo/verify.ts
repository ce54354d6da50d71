import { readFile } from "node:fs/promises";
import { errnoOf } from "../../base/errors.ts";

/** Longest wait for the kernel to remove a process that was killed. */
const GONE_TIMEOUT_MS = 1_000;

/** Ids of the processes that are still alive. A zombie is not: only its entry remains, until its parent reads it. */
export async function stillAlive(pids: readonly number[]): Promise<number[]> {
  const deadline = performance.now() + GONE_TIMEOUT_MS;
  for (;;) {
    const alive = (await Promise.all(pids.map(async (pid) => ((await isAlive(pid)) ? pid : 0)))).filter(
      (pid) => pid > 0,
    );
    if (alive.length === 0 || performance.now() > deadline) return alive;
  }
}

async function isAlive(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return errnoOf(error) === "EPERM";
  }
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "latin1");
    return !["Z", "X"].includes(stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3));
  } catch {
    // Without /proc, the result of the signal decides. With /proc, the process has ended since the signal.
    return process.platform !== "linux";
  }
}
