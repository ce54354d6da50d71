import fs from "node:fs";

const FILE = "/proc/self/oom_score_adj";
/** How much a job's processes score above the agent for the kernel's out-of-memory killer, out of 1000. */
const RAISE = 300;
const MOST = 1000;

/**
 * Runs a function that starts a process, such that the out-of-memory killer kills that process before the agent. A fork
 * inherits the score, so the agent raises its own for that moment; any process may raise its own score and set it back
 * (proc_pid_oom_score_adj(5)).
 */
export function raiseOomScore<T>(spawn: () => T): T {
  const before = adjust();
  if (before === undefined) return spawn();
  try {
    return spawn();
  } finally {
    try {
      fs.writeFileSync(FILE, before);
    } catch {
      // The agent now scores as high as the job: no worse than without this function.
    }
  }
}

function adjust(): string | undefined {
  try {
    const before = fs.readFileSync(FILE, "latin1").trim();
    const raised = Math.min(MOST, Number(before) + RAISE);
    fs.writeFileSync(FILE, String(raised));
    return before;
  } catch {
    return undefined;
  }
}
