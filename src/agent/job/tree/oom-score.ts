import fs from "node:fs";

const FILE = "/proc/self/oom_score_adj";
/** How much sooner than the agent the kernel's out-of-memory killer takes a process of the job. */
const RAISE = 300;
const MOST = 1000;

/**
 * Runs a function that starts a process, such that the out-of-memory killer prefers that process to the agent. The
 * score is inherited at the fork, so the agent takes the higher one for that moment; everyone may raise their own and
 * go back to what they had (proc_pid_oom_score_adj(5)).
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
      // Then the agent stands as high as the job: no worse than without.
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
