import { setTimeout as sleep } from "node:timers/promises";
import type { Bench, Row, Stage } from "../bench.ts";
import { cpuOf, memoryOf, percentile } from "../bench.ts";
import { LoadAgent } from "./capacity-agent.ts";

/** Agents that are connected while some of them log. */
const CONNECTED = Number(process.env["BELAY_BENCH_CONNECTED"] ?? 2_000);
const LOGGING = 50;
const LOG_BYTES_PER_SECOND = 1_000_000;
/** Agents that only send heartbeats. */
const IDLE = Number(process.env["BELAY_BENCH_IDLE"] ?? 10_000);
const CANCELS = 200;
const MEASURE_MS = 20_000;
/** Connections that are opened at one time. */
const OPENING = 50;

/** How much one tracker bears: the load comes from this process, on the same cores. */
export const capacity: Bench = {
  name: "capacity",
  about: `${CONNECTED} agents, ${LOGGING} of them logging 1 MB/s each; then ${IDLE} idle ones`,
  run: async (stage) => {
    const agents: LoadAgent[] = [];
    try {
      await connect(stage, agents, CONNECTED);
      const rows = await underLoad(stage, agents);
      await connect(stage, agents, IDLE);
      return [...rows, ...(await atRest(stage, agents.length))];
    } finally {
      for (const agent of agents) agent.close();
    }
  },
};

async function connect(stage: Stage, agents: LoadAgent[], count: number): Promise<void> {
  const opening = Array.from({ length: OPENING }, async () => {
    while (agents.length < count) {
      const agent = new LoadAgent(stage.address, `load-${agents.length}`);
      agents.push(agent);
      await agent.welcomed;
    }
  });
  await Promise.all(opening);
}

async function underLoad(stage: Stage, agents: readonly LoadAgent[]): Promise<Row[]> {
  const over = new AbortController();
  const logging = agents.slice(0, LOGGING).map((agent) => agent.log(LOG_BYTES_PER_SECOND, over.signal));
  await sleep(3_000);
  for (const agent of agents) agent.lags.length = 0;
  const cpu = cpuOf(stage.trackerPid);
  const start = performance.now();
  // Spread over the time, over agents that log and that do not.
  const cancels: number[] = [];
  for (let i = 0; i < CANCELS; i++) {
    const agent = agents[Math.floor((i / CANCELS) * agents.length)] as LoadAgent;
    const asked = performance.now();
    const seen = agent.commanded();
    await stage.client.cancelJob({ jobId: agent.jobId });
    cancels.push((await seen) - asked);
    await sleep(Math.max(0, start + ((i + 1) * MEASURE_MS) / CANCELS - performance.now()));
  }
  const seconds = (performance.now() - start) / 1000;
  const cores = (cpuOf(stage.trackerPid) - cpu) / seconds;
  const lags = agents.flatMap(({ lags }) => lags);
  const bytes = lags.length * LoadAgent.batchBytes;
  const rss = memoryOf(stage.trackerPid, "VmRSS");
  over.abort();
  await Promise.all(logging);
  const what = `${CONNECTED} agents, ${LOGGING} at 1 MB/s: `;
  return [
    { what: `${what}cancel call → agent, p50`, ours: [percentile(cancels, 0.5)], unit: "ms", reach: "" },
    { what: `${what}cancel call → agent, p99`, ours: [percentile(cancels, 0.99)], unit: "ms", reach: "≤ 100" },
    { what: `${what}batch sent → acked, p50`, ours: [percentile(lags, 0.5)], unit: "ms", reach: "" },
    { what: `${what}batch sent → acked, p99`, ours: [percentile(lags, 0.99)], unit: "ms", reach: "≤ 1000" },
    { what: `${what}log committed`, ours: [bytes / seconds / 1e6], unit: "MB/s", reach: `${LOGGING}` },
    { what: `${what}tracker's RSS`, ours: [rss / 1e6], unit: "MB", reach: "" },
    { what: `${what}tracker's CPU`, ours: [cores], unit: "cores", reach: "" },
  ];
}

async function atRest(stage: Stage, count: number): Promise<Row[]> {
  // Longer than a heartbeat interval, so that every one has had its turn.
  await sleep(5_000);
  const cpu = cpuOf(stage.trackerPid);
  const start = performance.now();
  await sleep(MEASURE_MS);
  const cores = (cpuOf(stage.trackerPid) - cpu) / ((performance.now() - start) / 1000);
  const rss = memoryOf(stage.trackerPid, "VmRSS");
  return [
    { what: `${count} idle agents: tracker's RSS`, ours: [rss / 1e6], unit: "MB", reach: "≤ 1500" },
    { what: `${count} idle agents: tracker's CPU`, ours: [cores], unit: "cores", reach: "≤ 0.5" },
  ];
}
