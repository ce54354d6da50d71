import { once } from "node:events";
import path from "node:path";
import type { Readable } from "node:stream";
import { setTimeout as wait } from "node:timers/promises";
import type { Bench } from "../bench.ts";
import { Fleet } from "../load/fleet.ts";
import type { Measured } from "../load/protocol.ts";
import { Scrape } from "../load/scrape.ts";
import type { Plan } from "../plan.ts";
import { cpuOf, memoryOf, waitedForCoreOf } from "../processes.ts";
import type { Row } from "../row.ts";
import type { Stage } from "../stage.ts";

/** A number that an environment variable may replace for an experiment. */
const setting = (name: string, usual: number): number => Number(process.env[`BELAY_BENCH_${name}`] ?? usual);

/** Agents that only send heartbeats. */
const IDLE = setting("IDLE", 10_000);
/** Connected agents while some of them log, how many of them log, and how many bytes each of these prints a second. */
const CONNECTED = setting("CONNECTED", 2_000);
const LOGGING = setting("LOGGING", 200);
const BYTES_PER_SECOND = setting("RATE", 250_000);
/** Processes that simulate the agents, and their niceness. */
const GENERATORS = setting("GENERATORS", 2);
const NICE = setting("NICE", 10);
const CANCELS = 200;
/** Longer than a heartbeat interval, so that every agent sends a heartbeat. */
const MEASURE_MS = 15_000;
const SETTLE_MS = 3_000;

/** Capacity of one tracker; the processes that simulate the agents share its cores. */
export const capacities: readonly Bench[] = [
  {
    name: "capacity-idle",
    about: `one tracker with ${IDLE} idle agents: memory, CPU, cancel latency`,
    run: (stage, plan) => under(stage, plan, { name: "idle", agents: IDLE, logging: 0 }),
  },
  {
    name: "capacity-logging",
    about: `one tracker with ${CONNECTED} agents, ${LOGGING} of them logging ${BYTES_PER_SECOND / 1e6} MB/s each`,
    run: (stage, plan) => under(stage, plan, { name: "logging", agents: CONNECTED, logging: LOGGING }),
  },
];

interface Load {
  readonly name: "idle" | "logging";
  readonly agents: number;
  readonly logging: number;
}

async function under(stage: Stage, plan: Plan, load: Load): Promise<Row[]> {
  // Before any agent is there; it takes a few seconds.
  const bare = load.logging > 0 ? undefined : await bareServer(stage, load.agents);
  await using fleet = new Fleet(stage.address, GENERATORS, NICE);
  await fleet.connect(load.agents);
  if (load.logging > 0) await fleet.log(load.logging, BYTES_PER_SECOND);
  await wait(SETTLE_MS);
  const span = Math.min(MEASURE_MS, plan.deadline - performance.now());
  if (span < MEASURE_MS) plan.note(`Measured for ${(span / 1000).toFixed(0)} s only: opening the agents took long`);

  await fleet.reset();
  const before = await Scrape.of(stage.address);
  const cpu = cpuOf(stage.trackerPid);
  const waited = waitedForCoreOf(stage.trackerPid);
  const start = performance.now();
  const cancels: number[] = [];
  // Cancels one after the other, spread over the time, and over agents that log and agents that do not.
  for (let i = 0; i < CANCELS && performance.now() < plan.deadline; i++) {
    const jobId = fleet.jobId(Math.floor((i / CANCELS) * load.agents));
    const seen = fleet.commanded(jobId);
    await stage.client.cancelJob({ jobId });
    cancels.push(await seen);
    await wait(Math.max(0, start + ((i + 1) * span) / CANCELS - performance.now()));
  }
  const seconds = (performance.now() - start) / 1000;
  const cores = (cpuOf(stage.trackerPid) - cpu) / seconds;
  const waiting = (waitedForCoreOf(stage.trackerPid) - waited) / seconds;
  const after = await Scrape.of(stage.address);
  const measured = await fleet.measure();
  const rss = memoryOf(stage.trackerPid, "VmRSS") / 1e6;
  return rowsOf(load, { bare, cancels, seconds, cores, waiting, rss, before, after, measured });
}

/** Resident memory of a bare server of node:http2 with the connections of a number of agents, in MB. */
async function bareServer(stage: Stage, agents: number): Promise<number> {
  const server = stage.start(process.execPath, [path.join(import.meta.dirname, "../load/bare-server.ts")], "stdout");
  const [address] = (await once(server.child.stdout as Readable, "data")) as [Buffer];
  let rss: number;
  {
    await using fleet = new Fleet(address.toString().trim(), GENERATORS, NICE);
    await fleet.connect(agents);
    rss = memoryOf(server.pid, "VmRSS") / 1e6;
  }
  server.child.kill("SIGKILL");
  await server.ended;
  return rss;
}

interface Found {
  /** Resident memory of a bare server with the same connections, in MB. Undefined: not measured. */
  readonly bare: number | undefined;
  readonly cancels: readonly number[];
  readonly seconds: number;
  readonly cores: number;
  /** Share of the time in which the tracker's main thread waited for a core. */
  readonly waiting: number;
  readonly rss: number;
  readonly before: Scrape;
  readonly after: Scrape;
  readonly measured: readonly Measured[];
}

function rowsOf(load: Load, { bare, cancels, seconds, cores, waiting, rss, before, after, measured }: Found): Row[] {
  const title = load.logging > 0 ? `${load.agents} agents, ${load.logging} logging` : `${load.agents} idle agents`;
  const row = (key: string, what: string, unit: string, ours: readonly number[], more: Partial<Row> = {}): Row => ({
    key: `capacity-${load.name}.${key}`,
    what: `${title}: ${what}`,
    unit,
    better: "less",
    ours,
    ...more,
  });
  const idle = load.logging === 0;
  const lags = measured.flatMap(({ lags }) => lags);
  const bytes = after.value("belay_log_bytes_total") - before.value("belay_log_bytes_total");
  // The upper bound of a bucket: the true value is at most this.
  const inside = (name: string): number[] => [after.percentile(name, 0.99, before) * 1000];
  const logs: Row[] = idle
    ? []
    : [
        row("committed", "log committed", "MB/s", [bytes / seconds / 1e6], { better: "more" }),
        row("ack-p50", "batch sent → acked, p50", "ms", lags, { share: 0.5 }),
        row("ack-p99", "batch sent → acked, p99", "ms", lags, { share: 0.99, reach: { value: 1000 } }),
        row("commit-p99", "of it in the tracker, p99 at most", "ms", inside("belay_log_commit_lag_seconds")),
        row("write-p99", "one write to a log, p99 at most", "ms", inside("belay_log_write_seconds")),
      ];
  return [
    row("rss", "tracker's RSS", "MB", [rss], {
      ...(bare === undefined ? {} : { reference: { what: "a bare node:http2 server", values: [bare] } }),
      ...(idle ? { reach: { value: 1500 } } : {}),
    }),
    row("cores", "tracker's CPU", "cores", [cores], idle ? { reach: { value: 0.5 } } : {}),
    row("cancel-p50", "cancel call → agent, p50", "ms", cancels, { share: 0.5 }),
    row("cancel-p99", "cancel call → agent, p99", "ms", cancels, { share: 0.99, reach: { value: 100 } }),
    ...logs,
    row("loop", "tracker's longest loop delay", "ms", [after.value("belay_loop_delay_seconds") * 1000]),
    row("waiting", "tracker's main thread waited for a core", "% of the time", [waiting * 100]),
    row("load-cores", "CPU of those who play the agents", "cores", [sum(measured.map(({ cpu }) => cpu)) / seconds]),
    row("load-loop-p99", "their loop delay, p99", "ms", [Math.max(...measured.map(({ loop }) => loop.p99))]),
    row("load-loop-max", "their longest loop delay", "ms", [Math.max(...measured.map(({ loop }) => loop.max))]),
  ];
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
