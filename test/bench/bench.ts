import type { Plan } from "./plan.ts";
import type { Row } from "./row.ts";
import { Stage } from "./stage.ts";

/** Most time of one benchmark, its start and end included. Milliseconds. */
export const BENCH_MS = 60_000;
/** Most time of a whole call. Milliseconds. */
export const WHOLE_MS = 600_000;
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
  try {
    return await Promise.race([bench.run(stage, { runs, deadline, note }), late]);
  } finally {
    clearTimeout(timer);
  }
}
