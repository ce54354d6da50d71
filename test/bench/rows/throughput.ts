import { writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { JobState, LogStream } from "../../../src/gen/belay/v1/job_pb.ts";
import { type Bench, cpuOf, memoryOf, type Row, type Stage } from "../bench.ts";

const BYTES = 400_000_000;
const RUNS = 3;

/** Log throughput: from the job's first byte to everything committed at the tracker. */
export const throughput: Bench = {
  name: "throughput",
  about: "log throughput against `job | cat > file`, agent CPU and memory meanwhile",
  async run(stage: Stage): Promise<Row[]> {
    const file = path.join(stage.directory, "lines.txt");
    writeFileSync(file, Buffer.alloc(BYTES, `${"x".repeat(99)}\n`));
    const out = path.join(stage.directory, "out.txt");
    const ours: number[] = [];
    const cpu: number[] = [];
    const peak: number[] = [];
    const reference: number[] = [];
    for (let run = 0; run < RUNS; run++) {
      reference.push(BYTES / 1e3 / (await stage.time("sh", ["-c", `cat ${file} | cat > ${out}`])));
      const jobId = `throughput-${run}`;
      // The job stays when it has printed all, so that its agent can still be looked at.
      const agent = stage.agent(jobId, ["sh", "-c", `cat ${file}; exec sleep 1000`]);
      await stage.until(jobId, JobState.RUNNING);
      const startTime = await committed(stage, jobId, BigInt(BYTES));
      const began = startTime === undefined ? Number.NaN : timestampMs(startTime);
      ours.push(BYTES / 1e3 / (Date.now() - began));
      cpu.push((cpuOf(agent.pid) / BYTES) * 1e9);
      peak.push(memoryOf(agent.pid, "VmHWM") / 1e6);
      await stage.client.cancelJob({ jobId, gracePeriod: { seconds: 0n, nanos: 0 } });
      await agent.ended;
      await stage.client.deleteJob({ jobId });
    }
    const perSecond = ours.map((rate) => (rate * 1e6) / 100 / 1e6);
    return [
      {
        what: "log throughput, 100-byte lines, committed",
        ours,
        reference: { what: "job | cat > file", values: reference },
        unit: "MB/s",
        reach: "ratio >= 0.8",
      },
      { what: "the same in lines", ours: perSecond, unit: "million/s", reach: ">= 1.5" },
      { what: "agent CPU", ours: cpu, unit: "s/GB", reach: "<= 3.0" },
      { what: "agent peak RSS in the burst", ours: peak, unit: "MB", reach: "<= 128" },
    ];
  },
};

/** Waits until the tracker has so many bytes of a job's standard output. @returns when the job was started */
async function committed(stage: Stage, jobId: string, bytes: bigint): Promise<Timestamp | undefined> {
  for (;;) {
    const { job } = await stage.client.getJob({ jobId });
    const stored = job?.attempts.at(-1)?.stored.find(({ stream }) => stream === LogStream.STDOUT);
    if ((stored?.bytes ?? 0n) >= bytes) return job?.startTime;
    await wait(5);
  }
}
