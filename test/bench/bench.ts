import type { Plan } from "./plan.ts";
import type { Row } from "./row.ts";
import { Stage } from "./stage.ts";

/** Most time of one benchmark, its start and end included. Milliseconds. */
export const BENCH_MS = 60_000;
/** Most time of a whole call. Milliseconds. */
export const WHOLE_MS = 600_000;
/** Least time in which a benchmark can give anything: with less left of a whole call, it is left out. Milliseconds. */
export const LEAST_MS = 20_000;
/** Of a benchmark's time, what is kept for its tracker's start and for ending what it started. Milliseconds. */
const TIDY_MS = 8_000;

/** A benchmark: takes some seconds, returns its rows. */
export interface Bench {
  readonly name: string;
  /** One line about it for `--list`. */
  readonly about: string;
  /** @param stage a tracker of its own and a directory, removed afterwards */
  run(stage: Stage, plan: Plan): Promise<Row[]>;
}

/** Runs one benchmark on a stage of its own. @throws Error if it takes longer than it may */
export async function perform(bench: Bench, runs: number | undefined, limit: number = BENCH_MS): Promise<Row[]> {
  const deadline = performance.now() + limit - TIDY_MS;
  const note = (message: string): void => console.error(`  ${message}`);
  await using stage = await Stage.open();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const message = `${bench.name} did not end within ${limit / 1000} s`;
    timer = setTimeout(() => reject(new Error(message)), deadline - performance.now() + TIDY_MS / 2);
  });
  const running = bench.run(stage, { runs, deadline, note });
  // Of one that came too late, nobody hears how it ended.
  running.catch(() => undefined);
  try {
    return await Promise.race([running, late]);
  } finally {
    clearTimeout(timer);
  }
}
