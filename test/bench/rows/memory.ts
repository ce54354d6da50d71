import { setTimeout as wait } from "node:timers/promises";
import { JobState } from "../../../src/gen/belay/v1/job_pb.ts";
import { type Bench, memoryOf, type Row, type Stage } from "../bench.ts";

/** Time after the start until an agent counts as idle. Milliseconds. */
const SETTLE = 3000;
/** Time for which the tracker stands still. Milliseconds. */
const STALL = 5000;

/** Memory of an agent whose job does nothing. */
export const memory: Bench = {
  name: "memory",
  about: "memory of an agent whose job is idle or floods a tracker that stands still, and of the tracker",
  async run(stage: Stage): Promise<Row[]> {
    const agent = stage.agent("memory", ["sleep", "1000"]);
    await stage.until("memory", JobState.RUNNING);
    await wait(SETTLE);
    const rows = [
      { what: "idle agent, RSS", ours: [memoryOf(agent.pid, "VmRSS") / 1e6], unit: "MB", reach: "<= 75" },
      { what: "idle agent, private", ours: [memoryOf(agent.pid, "RssAnon") / 1e6], unit: "MB", reach: "<= 32" },
      { what: "tracker, RSS", ours: [memoryOf(stage.trackerPid, "VmRSS") / 1e6], unit: "MB", reach: "" },
    ];
    await stage.client.cancelJob({ jobId: "memory" });
    await agent.ended;
    return [...rows, await stalled(stage, "block"), await stalled(stage, "drop")];
  },
};

/** An agent whose job floods it while the tracker stands still. */
async function stalled(stage: Stage, policy: string): Promise<Row> {
  const jobId = `stalled-${policy}`;
  const agent = stage.agent(jobId, ["cat", "/dev/zero"], ["--on-spool-full", policy]);
  await stage.until(jobId, JobState.RUNNING);
  process.kill(stage.trackerPid, "SIGSTOP");
  await wait(STALL);
  const peak = memoryOf(agent.pid, "VmHWM") / 1e6;
  process.kill(stage.trackerPid, "SIGCONT");
  await stage.client.cancelJob({ jobId, gracePeriod: { seconds: 0n, nanos: 0 } });
  await agent.ended;
  await stage.until(jobId, JobState.CANCELED);
  return { what: `agent, tracker stalled in a flood, ${policy}`, ours: [peak], unit: "MB", reach: "<= 128" };
}
