import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { JobState } from "../../../src/gen/belay/v1/job_pb.ts";
import type { Bench } from "../bench.ts";
import { rounds } from "../plan.ts";
import { wallClock } from "../processes.ts";
import type { Row } from "../row.ts";
import type { Stage, Started } from "../stage.ts";

/** Rounds. In each: the reference, Belay, and Belay under load. */
const RUNS = 3;
/** Lines of a round, and the time between two: longer than a batch stays open, as between reports of progress. */
const LINES = 80;
const PAUSE_S = 0.06;
/** Bytes of output after which the other job counts as logging at full rate. */
const RUNNING_BYTES = 20_000_000n;

/** Time from the print of a line to its output by `belay logs -f`. */
export const follow: Bench = {
  name: "follow",
  about: "line printed to line out of `belay logs -f`, with and without another job that logs at full rate",
  async run(stage, plan): Promise<Row[]> {
    const pipe: number[] = [];
    const idle: number[] = [];
    const loaded: number[] = [];
    await rounds(plan, RUNS, async (run) => {
      pipe.push(...(await arrivals(stage.start("bash", printer(), "stdout"))));
      idle.push(...(await followed(stage, `follow-idle-${run}`)));
      const load = `follow-load-${run}`;
      const flood = stage.agent(load, ["yes", "x".repeat(99)]);
      await stage.until(load, JobState.RUNNING);
      await stage.committed(load, RUNNING_BYTES);
      loaded.push(...(await followed(stage, `follow-loaded-${run}`)));
      await stage.clear(load, flood);
    });
    return [...rowsOf("idle", "no load", idle, pipe, 5, 50), ...rowsOf("loaded", "another job floods", loaded, pipe)];
  },
};

/** A job that prints the time repeatedly. The shell reads the clock itself, without another process. */
function printer(): string[] {
  return ["-c", `for ((i = 0; i < ${LINES}; i++)); do echo "$EPOCHREALTIME"; sleep ${PAUSE_S}; done`];
}

async function followed(stage: Stage, jobId: string): Promise<number[]> {
  const agent = stage.agent(jobId, ["bash", ...printer()]);
  await stage.until(jobId, JobState.RUNNING);
  const taken = await arrivals(stage.belay(["logs", "-f", "--tracker", stage.address, jobId], "stdout"));
  await agent.ended;
  await stage.client.deleteJob({ jobId });
  return taken;
}

/** Milliseconds from the print of each line to its arrival here. */
async function arrivals(from: Started): Promise<number[]> {
  const taken: number[] = [];
  let since: number | undefined;
  for await (const line of createInterface({ input: from.child.stdout as Readable })) {
    const now = wallClock();
    const printed = Number(line) * 1000;
    // Lines that were printed before the follower had started do not count as late.
    since ??= now;
    if (printed > since) taken.push(now - printed);
  }
  await from.ended;
  return taken;
}

function rowsOf(
  name: string,
  when: string,
  ours: readonly number[],
  pipe: readonly number[],
  ...reach: readonly number[]
): Row[] {
  return [0.5, 0.99].map((share, index) => ({
    key: `follow.${name}-p${share * 100}`,
    what: `line printed to line out of \`logs -f\`, ${when}, p${share * 100}`,
    unit: "ms",
    better: "less",
    share,
    ours,
    reference: { what: "the job's pipe, read directly", values: pipe },
    ...(reach[index] === undefined ? {} : { reach: { value: reach[index] } }),
  }));
}
