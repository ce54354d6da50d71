import type { Probe } from "./guard.ts";
import { bareNode, launch } from "./rows/start.ts";
import { LoadRunner, type Load } from "./rows/throughput.ts";
import type { Stage } from "./stage.ts";

/** Output of one run: so much that start and end do not count, so little that a few pairs take only some seconds. */
const LOAD: Load = { name: "guard", what: "100-byte lines", lineBytes: 100, bytes: 150_000_000, generates: false };
const THROUGHPUT_PAIRS = 5;
const START_PAIRS = 9;

/** The guarded ratios: those that are stable on a machine with other work. Each takes some seconds. */
export async function openProbes(stage: Stage): Promise<Probe[]> {
  const runner = await LoadRunner.prepare(stage, LOAD);
  let run = 0;
  return [
    {
      ratios: {
        throughput: { what: "committed log throughput to that of `cat file | cat > file`", better: "more" },
        cpu: { what: "agent's CPU a byte to that of `cat > file`", better: "less" },
      },
      async measure() {
        const pairs = await inTurn(THROUGHPUT_PAIRS, () => runner.pair(run++));
        return {
          throughput: pairs.map(({ ours, reference }) => ours.rate / reference.rate),
          cpu: pairs.map(({ ours, reference }) => ours.cpu / reference.cpu),
        };
      },
    },
    {
      ratios: { start: { what: "agent start to the job's first instruction to `node -e 0`", better: "less" } },
      async measure() {
        const pair = async (): Promise<number> => {
          const reference = await bareNode(stage);
          return (await launch(stage, `guard-start-${run++}`)).first / reference;
        };
        return { start: await inTurn(START_PAIRS, pair) };
      },
    },
  ];
}

async function inTurn<T>(count: number, each: () => Promise<T>): Promise<T[]> {
  const all: T[] = [];
  while (all.length < count) all.push(await each());
  return all;
}
