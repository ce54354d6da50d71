import { setTimeout as wait } from "node:timers/promises";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { JobState } from "../../../src/gen/belay/v1/job_pb.ts";
import type { Bench } from "../bench.ts";
import { Fifo } from "../fifo.ts";
import { rounds } from "../plan.ts";
import { wallClock } from "../processes.ts";
import type { Row } from "../row.ts";
import type { Stage } from "../stage.ts";

const RUNS = 60;
/** Time until an agent is idle after its job's start. Milliseconds. */
const SETTLE_MS = 200;
/** Bytes of output after which a job counts as logging at full rate. */
const RUNNING_BYTES = 20_000_000n;

/** Time until a cancel has emptied the process tree of an idle job, and of one that prints as fast as possible. */
export const cancels: readonly Bench[] = [
  {
    name: "cancel-idle",
    about: "cancel call to empty process tree, job idle, against a bare kill of the same process",
    async run(stage, plan): Promise<Row[]> {
      const bare: number[] = [];
      const ours: Cancel[] = [];
      await rounds(plan, RUNS, async (run) => {
        bare.push(await bareKill(stage, `bare-${run}`));
        ours.push(await cancel(stage, `cancel-${run}`, "sleep 1000", 0n));
      });
      return rowsOf("idle", "job idle", ours, bare, { p50: 5, p99: 25 });
    },
  },
  {
    name: "cancel-loaded",
    about: "cancel call to empty process tree, while the job's log runs at full rate",
    async run(stage, plan): Promise<Row[]> {
      const ours: Cancel[] = [];
      await rounds(plan, RUNS, async (run) => {
        ours.push(await cancel(stage, `cancel-${run}`, `yes ${"x".repeat(99)}`, RUNNING_BYTES));
      });
      return rowsOf("loaded", "log at full rate", ours, undefined, { p99: 100 });
    },
  },
];

/** Time from the call to the empty tree, measured in two ways. Milliseconds. */
export interface Cancel {
  /** According to the agent's evidence, in whole milliseconds. */
  readonly stated: number;
  /** According to the kernel, which has closed the tree's files. */
  readonly seen: number;
}

/** Runs a job, cancels it when it has printed a number of bytes, and waits for its end. */
export async function cancel(stage: Stage, jobId: string, command: string, bytes: bigint): Promise<Cancel> {
  const held = new Fifo(stage, jobId);
  const agent = stage.agent(jobId, ["sh", "-c", `${held.hold}; exec ${command}`]);
  await stage.until(jobId, JobState.RUNNING);
  if (bytes > 0n) await stage.committed(jobId, bytes);
  else {
    await held.opened;
    await wait(SETTLE_MS);
  }
  const asked = wallClock();
  await stage.client.cancelJob({ jobId });
  const seen = (await held.closed) - asked;
  const { result } = await stage.until(jobId, JobState.CANCELED);
  const empty = result?.evidence?.treeEmptyTime;
  if (empty === undefined) throw new Error(`The result of "${jobId}" has no time at which its tree was empty`);
  await agent.ended;
  await stage.client.deleteJob({ jobId });
  return { stated: timestampMs(empty) - asked, seen };
}

/** Milliseconds from a kill of a process to its end: the least that a cancel can take. */
export async function bareKill(stage: Stage, name: string): Promise<number> {
  const held = new Fifo(stage, name);
  const { child } = stage.start("sh", ["-c", `${held.hold}; exec sleep 1000`]);
  await held.opened;
  const asked = wallClock();
  child.kill("SIGTERM");
  return (await held.closed) - asked;
}

function rowsOf(
  name: string,
  when: string,
  cancels: readonly Cancel[],
  bare: readonly number[] | undefined,
  reach: { readonly p50?: number; readonly p99: number },
): Row[] {
  const row = (by: "stated" | "seen", share: number, reach: number | undefined): Row => ({
    key: `cancel-${name}.${by}-p${share * 100}`,
    what: `cancel to empty tree ${by === "stated" ? "by the evidence" : "as seen"}, ${when}, p${share * 100}`,
    unit: "ms",
    better: "less",
    share,
    ours: cancels.map((each) => each[by]),
    ...(bare !== undefined && by === "seen" ? { reference: { what: "kill -TERM", values: bare } } : {}),
    ...(reach === undefined ? {} : { reach: { value: reach } }),
  });
  return [
    row("stated", 0.5, reach.p50),
    row("stated", 0.99, reach.p99),
    row("seen", 0.5, reach.p50),
    row("seen", 0.99, reach.p99),
  ];
}
