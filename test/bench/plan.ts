import { setTimeout as wait } from "node:timers/promises";

/** How much of a benchmark is to be done. */
export interface Plan {
  /** Rounds that were asked for; undefined: the benchmark's own number. */
  readonly runs: number | undefined;
  /** Time by `performance.now()` at which it has to be over. */
  readonly deadline: number;
  /** Says something to whoever watches. */
  note(message: string): void;
}

/**
 * Does rounds one after the other: as many as were asked for, but none that would pass the deadline if it took as long
 * as the longest so far. One that is under way at the deadline is given up. The first is always done.
 *
 * @param usual number of rounds if none was asked for
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
  // What is given up ends with the benchmark's processes, and nobody hears how.
  doing.catch(() => undefined);
  const late = wait(deadline - performance.now(), false, { signal: done.signal }).catch(() => false);
  try {
    return await Promise.race([doing.then(() => true), late]);
  } finally {
    done.abort();
  }
}
