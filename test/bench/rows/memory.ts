import { writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { JobState } from "../../../src/gen/belay/v1/job_pb.ts";
import type { Bench } from "../bench.ts";
import { Fifo } from "../fifo.ts";
import { rounds } from "../plan.ts";
import { cpuOf, memoryOf, privateMemoryOf } from "../processes.ts";
import type { Row } from "../row.ts";
import type { Stage, Started } from "../stage.ts";

const RUNS = 3;
/** Bytes of output of a burst. */
const BYTES = 1_000_000_000;
/** Script of a job that prints them as fast as possible. */
const FLOOD = `yes ${"x".repeat(99)} | head -c ${BYTES}`;
/** Time after the start until a process counts as idle, and time for which it is then measured. Milliseconds. */
const SETTLE_MS = 1_500;
/** Longest wait for a job that floods a stopped tracker; a job that has to wait never ends. Milliseconds. */
const STALL_MS = 4_000;
/** Time between two measurements of private memory, of which the kernel keeps no peak. Milliseconds. */
const LOOK_MS = 50;

const NODE = "node, doing nothing";

/** Cost of an agent: idle, in a burst of output, and in a burst while the tracker is stopped. */
export const memories: readonly Bench[] = [
  {
    name: "memory-idle",
    about: "memory and CPU of an agent whose job is idle, against a Node that does nothing",
    async run(stage, plan): Promise<Row[]> {
      const bare: Cost[] = [];
      const idle: Cost[] = [];
      await rounds(plan, RUNS, async (run) => {
        bare.push(await bareNode(stage));
        idle.push(await idleAgent(stage, `memory-idle-${run}`));
      });
      return [
        resident("idle", "agent RSS, job idle", idle, 75, { what: NODE, costs: bare }),
        own("idle", "of it private", idle, 32, { what: NODE, costs: bare }),
        cpu("idle", "agent CPU, job idle", "ms/s", idle, undefined),
      ];
    },
  },
  {
    name: "memory-burst",
    about: "memory and CPU of an agent whose job prints 1 GB at once",
    async run(stage, plan): Promise<Row[]> {
      const burst: Cost[] = [];
      await rounds(plan, RUNS, async (run) => void burst.push(await burstAgent(stage, `memory-burst-${run}`)));
      return [
        resident("burst", "agent peak RSS, 1 GB burst", burst, 128),
        own("burst", "of it private", burst, undefined),
        cpu("burst", "agent CPU, 1 GB burst", "s/GB", burst, 3),
      ];
    },
  },
  ...(["block", "drop"] as const).map(
    (policy): Bench => ({
      name: `memory-${policy}`,
      about: `memory and CPU of an agent whose job prints 1 GB while the tracker is stopped, --on-spool-full ${policy}`,
      async run(stage, plan): Promise<Row[]> {
        const stalled: Cost[] = [];
        await rounds(
          plan,
          RUNS,
          async (run) => void stalled.push(await stalledAgent(stage, `${policy}-${run}`, policy)),
        );
        const when = `1 GB flood while the tracker is stopped, ${policy}`;
        const rows = [
          resident(policy, `agent peak RSS, ${when}`, stalled, 128),
          own(policy, "of it private", stalled, undefined),
        ];
        // If the job had to wait, only a part of its output was read.
        return policy === "block" ? rows : [...rows, cpu(policy, `agent CPU, ${when}`, "s/GB", stalled, 3)];
      },
    }),
  ),
];

/** Cost of a process. */
interface Cost {
  /** Peak of resident memory, in MB. */
  readonly rss: number;
  /** Greatest sample of private memory, in MB. */
  readonly own: number;
  /** Processor time: milliseconds a second if idle, seconds a GB in a flood. */
  readonly cpu: number;
}

async function bareNode(stage: Stage): Promise<Cost> {
  const node = stage.start(process.execPath, ["-e", "setInterval(() => {}, 1e9)"]);
  const cost = await atRest(node.pid);
  node.child.kill("SIGKILL");
  await node.ended;
  return cost;
}

async function idleAgent(stage: Stage, jobId: string): Promise<Cost> {
  const agent = stage.agent(jobId, ["sleep", "1000"]);
  await stage.until(jobId, JobState.RUNNING);
  const cost = await atRest(agent.pid);
  await stage.clear(jobId, agent);
  return cost;
}

async function atRest(pid: number): Promise<Cost> {
  await wait(SETTLE_MS);
  const before = cpuOf(pid);
  await wait(SETTLE_MS);
  const cpu = ((cpuOf(pid) - before) * 1000) / (SETTLE_MS / 1000);
  return { rss: memoryOf(pid, "VmRSS") / 1e6, own: privateMemoryOf(pid) / 1e6, cpu };
}

async function burstAgent(stage: Stage, jobId: string): Promise<Cost> {
  const agent = stage.agent(jobId, ["sh", "-c", `${FLOOD}; exec sleep 1000`]);
  const cost = await watched(agent, async () => {
    await stage.until(jobId, JobState.RUNNING);
    await stage.committed(jobId, BigInt(BYTES));
  });
  await stage.clear(jobId, agent);
  return cost;
}

async function stalledAgent(stage: Stage, jobId: string, policy: "block" | "drop"): Promise<Cost> {
  const printing = new Fifo(stage, jobId);
  // Nothing is printed before the tracker is stopped.
  const still = path.join(stage.directory, `${jobId}.still`);
  const script = `${printing.hold}; until [ -e ${still} ]; do sleep 0.05; done; ${FLOOD}; exec 9>&-; exec sleep 1000`;
  const agent = stage.agent(jobId, ["sh", "-c", script], ["--on-spool-full", policy]);
  await stage.until(jobId, JobState.RUNNING);
  process.kill(stage.trackerPid, "SIGSTOP");
  const cost = await watched(agent, async () => {
    writeFileSync(still, "");
    await Promise.race([printing.closed, wait(STALL_MS)]);
  });
  process.kill(stage.trackerPid, "SIGCONT");
  await stage.clear(jobId, agent);
  return cost;
}

/** Measures an agent while a function runs. Its CPU is counted for a whole burst. */
async function watched(agent: Started, during: () => Promise<void>): Promise<Cost> {
  const over = new AbortController();
  let own = 0;
  const looking = (async (): Promise<void> => {
    while (!over.signal.aborted) {
      own = Math.max(own, privateMemoryOf(agent.pid) / 1e6);
      await wait(LOOK_MS);
    }
  })();
  const before = cpuOf(agent.pid);
  await during();
  over.abort();
  await looking;
  return { rss: memoryOf(agent.pid, "VmHWM") / 1e6, own, cpu: ((cpuOf(agent.pid) - before) / BYTES) * 1e9 };
}

function resident(
  name: string,
  what: string,
  costs: readonly Cost[],
  reach: number,
  reference?: { readonly what: string; readonly costs: readonly Cost[] },
): Row {
  return {
    key: `memory.${name}-rss`,
    what,
    unit: "MB",
    better: "less",
    ours: costs.map(({ rss }) => rss),
    ...(reference && { reference: { what: reference.what, values: reference.costs.map(({ rss }) => rss) } }),
    reach: { value: reach },
  };
}

function own(
  name: string,
  what: string,
  costs: readonly Cost[],
  reach: number | undefined,
  reference?: { readonly what: string; readonly costs: readonly Cost[] },
): Row {
  return {
    key: `memory.${name}-private`,
    what,
    unit: "MB",
    better: "less",
    ours: costs.map(({ own }) => own),
    ...(reference && { reference: { what: reference.what, values: reference.costs.map(({ own }) => own) } }),
    ...(reach !== undefined && { reach: { value: reach } }),
  };
}

function cpu(name: string, what: string, unit: string, costs: readonly Cost[], reach: number | undefined): Row {
  return {
    key: `memory.${name}-cpu`,
    what,
    unit,
    better: "less",
    ours: costs.map(({ cpu }) => cpu),
    ...(reach !== undefined && { reach: { value: reach } }),
  };
}
