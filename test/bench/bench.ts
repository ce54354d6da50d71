import type { Plan } from "./plan.ts";
import type { Row } from "./row.ts";
import { Stage } from "./stage.ts";

/** Longest time of one benchmark, including its start and end. Milliseconds. */
export const BENCH_MS = 60_000;
/** Longest time of a whole call. Milliseconds. */
export const WHOLE_MS = 600_000;
/** Shortest time in which a benchmark gives a result: if less is left of a call, it is skipped. Milliseconds. */
export const LEAST_MS = 20_000;
/** Part of a benchmark's time for starting its tracker and for ending its processes. Milliseconds. */
const TIDY_MS = 8_000;

/** A benchmark, which takes some seconds and returns its rows. */
export interface Bench {
  readonly name: string;
  /** One line about it for `--list`. */
  readonly about: string;
  /** @param stage its own tracker and directory, removed afterwards */
  run(stage: Stage, plan: Plan): Promise<Row[]>;
}

/** Runs one benchmark on its own stage. @throws Error if it exceeds the limit */
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
  // The failure of a benchmark that has exceeded the limit is ignored.
  running.catch(() => undefined);
  try {
    return await Promise.race([running, late]);
  } finally {
    clearTimeout(timer);
  }
}
