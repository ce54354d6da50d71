import { timestampMs } from "@bufbuild/protobuf/wkt";
import { JobState } from "../../../src/gen/belay/v1/job_pb.ts";
import { type Bench, percentile, type Row, type Stage } from "../bench.ts";

const CANCELS = 20;
/** Lines, one every tenth of a second: slower than batches are closed, as a person or a progress report would print. */
const LINES = 60;

/** How soon a cancel has emptied the job's process tree, and how soon a printed line is seen by a follower. */
export const latency: Bench = {
  name: "latency",
  about: "cancel call to empty process tree; line printed to line seen by `logs -f`",
  async run(stage: Stage): Promise<Row[]> {
    return [...(await cancels(stage)), ...(await lines(stage))];
  },
};

async function cancels(stage: Stage): Promise<Row[]> {
  const taken: number[] = [];
  for (let run = 0; run < CANCELS; run++) {
    const jobId = `cancel-${run}`;
    const agent = stage.agent(jobId, ["sleep", "1000"]);
    await stage.until(jobId, JobState.RUNNING);
    const asked = Date.now();
    await stage.client.cancelJob({ jobId });
    const { result } = await stage.until(jobId, JobState.CANCELED);
    const empty = result?.evidence?.treeEmptyTime;
    taken.push((empty === undefined ? Number.NaN : timestampMs(empty)) - asked);
    await agent.ended;
  }
  return [
    { what: "cancel to empty tree, idle, p50", ours: [percentile(taken, 0.5)], unit: "ms", reach: "<= 5" },
    { what: "cancel to empty tree, idle, p99", ours: [percentile(taken, 0.99)], unit: "ms", reach: "<= 25" },
  ];
}

async function lines(stage: Stage): Promise<Row[]> {
  const script = `i=0; while [ $i -lt ${LINES} ]; do date +%s%N; i=$((i+1)); sleep 0.1; done`;
  const agent = stage.agent("follow", ["sh", "-c", script]);
  await stage.until("follow", JobState.RUNNING);
  const taken: number[] = [];
  for await (const { chunks } of stage.client.readLogs({ jobId: "follow", follow: true })) {
    const now = performance.timeOrigin + performance.now();
    for (const { content } of chunks) {
      if (content.case !== "data") continue;
      for (const line of Buffer.from(content.value).toString().trim().split("\n")) {
        taken.push(now - Number(BigInt(line) / 1000n) / 1000);
      }
    }
  }
  await agent.ended;
  return [
    { what: "line printed to line seen, p50", ours: [percentile(taken, 0.5)], unit: "ms", reach: "<= 5" },
    { what: "line printed to line seen, p99", ours: [percentile(taken, 0.99)], unit: "ms", reach: "<= 50" },
  ];
}
