import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import type { Bench } from "../bench.ts";
import { rounds } from "../plan.ts";
import { stampOf, wallClock } from "../processes.ts";
import type { Reference, Row } from "../row.ts";
import type { Stage } from "../stage.ts";

const RUNS = 25;
/** Debian's own Python, which finds its python3-aiohttp. */
const PYTHON = "/usr/bin/python3";
const IMPORT = ["-c", "import aiohttp"];

/** Time from the start of `belay run` to the job's first instruction, and from its last one to the agent's exit. */
export const start: Bench = {
  name: "start",
  about:
    "agent start to the job's first instruction, against `node -e 0` and Python; the job's end to the agent's exit",
  async run(stage, plan): Promise<Row[]> {
    const node: number[] = [];
    const python: number[] = [];
    const ours: Launch[] = [];
    const missing = pythonMissing();
    // The first run fills caches, and does not count.
    await launch(stage, "start-warm");
    await rounds(plan, RUNS, async (run) => {
      node.push(await bareNode(stage));
      if (missing === undefined) python.push(await stage.time(PYTHON, IMPORT));
      ours.push(await launch(stage, `start-${run}`));
    });
    const first = ours.map(({ first }) => first);
    const row = (key: string, reference: Reference): Row => ({
      key: `start.${key}`,
      what: `agent start to the job's first instruction, against ${reference.what}`,
      unit: "ms",
      better: "less",
      ours: first,
      reference,
      reach: { value: 100 },
    });
    const what = "python3 -c 'import aiohttp'";
    return [
      row("node", { what: "node -e 0", values: node }),
      row("python", missing === undefined ? { what, values: python } : { what, missing }),
      {
        key: "start.end",
        what: "job's last instruction to the agent's exit",
        unit: "ms",
        better: "less",
        ours: ours.map(({ after }) => after),
        reach: { value: 50 },
      },
    ];
  },
};

/** One run of an agent whose job only writes the time. Milliseconds. */
export interface Launch {
  /** From the start of the agent to the job's time. */
  readonly first: number;
  /** From the job's time to the agent's exit. */
  readonly after: number;
}

/** Runs an agent from its start to its end. */
export async function launch(stage: Stage, jobId: string): Promise<Launch> {
  const stamp = path.join(stage.directory, "stamp");
  const begin = wallClock();
  // `date` reads the clock a millisecond after its exec; the shell that opens its file takes another millisecond.
  const code = await stage.agent(jobId, ["sh", "-c", `exec date +%s%N > ${stamp}`]).ended;
  const end = wallClock();
  if (code !== 0) throw new Error(`The agent of "${jobId}" ended with ${code}: expected 0`);
  const stamped = stampOf(readFileSync(stamp, "utf8"));
  return { first: stamped - begin, after: end - stamped };
}

/** Milliseconds from start to exit of a Node that does nothing. */
export function bareNode(stage: Stage): Promise<number> {
  return stage.time(process.execPath, ["-e", "0"]);
}

/** Why Python with aiohttp cannot be measured here. Undefined: it can. */
function pythonMissing(): string | undefined {
  const { status } = spawnSync(PYTHON, IMPORT, { stdio: "ignore" });
  return status === 0 ? undefined : "Debian's python3-aiohttp is not installed";
}
