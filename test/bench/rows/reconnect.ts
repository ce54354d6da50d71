import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { JobState } from "../../../src/gen/belay/v1/job_pb.ts";
import type { Bench } from "../bench.ts";
import { Cutter } from "../load/cutter.ts";
import { rounds } from "../plan.ts";
import { wallClock } from "../processes.ts";
import type { Row } from "../row.ts";
import type { Stage } from "../stage.ts";

const RUNS = 20;
/** Age of a stream before it is cut. Milliseconds. */
const SETTLE_MS = 300;
/** Prints the time every few milliseconds. */
const PRINTER = 'while :; do echo "$EPOCHREALTIME"; sleep 0.005; done';

/** Time until new output is committed again after a connection was reset, and after the tracker was killed. */
export const reconnects: readonly Bench[] = [
  {
    name: "reconnect-cut",
    about: "connection reset to the first line committed that was printed afterwards, against a bare TCP connect",
    async run(stage, plan): Promise<Row[]> {
      await using cutter = await Cutter.open(stage.address);
      const jobId = "reconnect-cut";
      const agent = stage.agent(jobId, ["bash", "-c", PRINTER], ["--tracker", cutter.address]);
      await stage.until(jobId, JobState.RUNNING);
      const bare: number[] = [];
      const ours: number[] = [];
      await rounds(plan, RUNS, async () => {
        await wait(SETTLE_MS);
        bare.push(await bareConnect(cutter.address));
        const cut = wallClock();
        cutter.cut();
        ours.push((await committedAfter(stage, jobId, cut)) - cut);
      });
      await stage.clear(jobId, agent);
      return rowsOf("cut", "connection reset → new output committed", ours, bare);
    },
  },
  {
    name: "reconnect-restart",
    about: "tracker killed and started again to the first line committed that was printed after the kill",
    async run(stage, plan): Promise<Row[]> {
      const jobId = "reconnect-restart";
      const agent = stage.agent(jobId, ["bash", "-c", PRINTER]);
      await stage.until(jobId, JobState.RUNNING);
      const whole: number[] = [];
      const listening: number[] = [];
      await rounds(plan, RUNS, async () => {
        await wait(SETTLE_MS);
        const killed = wallClock();
        await stage.killTracker();
        await stage.startTracker();
        const back = wallClock();
        const done = await committedAfter(stage, jobId, killed);
        whole.push(done - killed);
        listening.push(done - back);
      });
      await stage.clear(jobId, agent);
      return [
        ...rowsOf("restart", "tracker killed, started again → new output committed", whole),
        ...rowsOf("listening", "of it after the tracker listens again", listening),
      ];
    },
  },
];

/** Waits for a line that was printed after a given time. @returns when it arrived, which is when it was committed */
async function committedAfter(stage: Stage, jobId: string, time: number): Promise<number> {
  const over = new AbortController();
  const tail = { case: "tailLines", value: 0n } as const;
  let line = "";
  try {
    for await (const { chunks } of stage.client.readLogs(
      { jobId, start: tail, follow: true },
      { signal: over.signal },
    )) {
      for (const { content } of chunks) {
        if (content.case !== "data") continue;
        line += Buffer.from(content.value).toString();
        const whole = line.split("\n").slice(0, -1);
        if (whole.some((stamp) => Number(stamp) * 1000 > time)) return wallClock();
        line = line.slice(line.lastIndexOf("\n") + 1);
      }
    }
  } catch (error) {
    if (ConnectError.from(error).code !== Code.Canceled) throw error;
  } finally {
    over.abort();
  }
  throw new Error(`The log of "${jobId}" ended`);
}

/** Time that a TCP connect takes, in milliseconds. */
async function bareConnect(address: string): Promise<number> {
  const { hostname, port } = new URL(address);
  const start = performance.now();
  const socket = connect(Number(port), hostname);
  await once(socket, "connect");
  const taken = performance.now() - start;
  socket.destroy();
  return taken;
}

function rowsOf(name: string, what: string, ours: readonly number[], bare?: readonly number[]): Row[] {
  return [0.5, 0.99].map((share) => ({
    key: `reconnect.${name}-p${share * 100}`,
    what: `${what}, p${share * 100}`,
    unit: "ms",
    better: "less",
    share,
    ours,
    ...(bare === undefined ? {} : { reference: { what: "a TCP connect", values: bare } }),
  }));
}
