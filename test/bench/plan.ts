import { setTimeout as wait } from "node:timers/promises";

/** How long and how often a benchmark may measure. */
export interface Plan {
  /** Requested rounds. Undefined: the benchmark's usual number. */
  readonly runs: number | undefined;
  /** Time by `performance.now()` at which it must be over. */
  readonly deadline: number;
  /** Shows a note to the user. */
  note(message: string): void;
}

/**
 * Does rounds one after the other: the requested number, but none that would exceed the deadline if it took as long as
 * the longest so far. A round that is under way at the deadline is given up. The first is always done.
 *
 * @param usual number of rounds if none was requested
 */
export async function rounds(plan: Plan, usual: number, round: (index: number) => Promise<void>): Promise<void> {
  const wanted = plan.runs ?? usual;
  let longest = 0;
  for (let index = 0; index < wanted; index++) {
    const start = performance.now();
    if (index === 0) await round(index);
    else if (start + longest > plan.deadline || !(await isDoneBy(plan.deadline, round(index)))) {
      plan.note(`${index} of ${wanted} rounds: the time is over`);
      return;
    }
    longest = Math.max(longest, performance.now() - start);
  }
}

async function isDoneBy(deadline: number, doing: Promise<void>): Promise<boolean> {
  const done = new AbortController();
  // A round that is given up ends with the benchmark's processes, and its failure is ignored.
  doing.catch(() => undefined);
  const late = wait(deadline - performance.now(), false, { signal: done.signal }).catch(() => false);
  try {
    return await Promise.race([doing.then(() => true), late]);
  } finally {
    done.abort();
  }
}
