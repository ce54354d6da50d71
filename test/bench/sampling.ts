// `node test/bench/sampling.ts [processes]`: the agent's cost of measuring a job with this number of processes (default
// 200), in both containments. Each measurement runs in its own process, which does nothing else, and reads that
// process's processor time.
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { create } from "@bufbuild/protobuf";
import { startJob } from "../../src/agent/job/job.ts";
import type { ContainmentChoice } from "../../src/agent/options.ts";
import { silentLogger } from "../../src/base/logger.ts";
import { EndReason, JobSpecSchema } from "../../src/gen/belay/v1/job_pb.ts";
import { sleep } from "../../src/base/clock.ts";

/** Time after which the agent looks for processes at its lowest rate. Milliseconds. */
const SETTLE_MS = 5000;
/** Measured time, as a number of default intervals. */
const INTERVALS = 4;
const INTERVAL_MS = 5000;

const [mode, count = "200"] = process.argv.slice(2);
if (mode === "cgroup" || mode === "process-group") await measure(mode, Number(count));
else {
  console.log(
    `${availableParallelism()} cores, ${readdirSync("/proc").filter((name) => /^\d/.test(name)).length} processes beside the job's\n`,
  );
  for (const containment of ["cgroup", "process-group"]) {
    const child = spawn(
      process.execPath,
      ["--no-warnings", fileURLToPath(import.meta.url), containment, mode ?? count],
      {
        stdio: "inherit",
      },
    );
    await new Promise((resolve) => child.once("exit", resolve));
  }
}

async function measure(containment: ContainmentChoice, processes: number): Promise<void> {
  const script = `for i in $(seq ${processes - 1}); do sleep 1000 & done; echo ready; wait`;
  const ready = Promise.withResolvers<undefined>();
  const job = startJob(
    {
      jobId: "bench",
      attempt: 1,
      spec: create(JobSpecSchema, { command: ["sh", "-c", script] }),
      environment: process.env,
      containment,
      stopBudget: 0,
      logger: silentLogger,
    },
    {
      state: () => undefined,
      stepStarted: () => undefined,
      stepEnded: () => undefined,
      notice: () => undefined,
      output: () => {
        ready.resolve(undefined);
        return true;
      },
    },
  );
  await ready.promise;
  const start = performance.now();
  while (performance.now() - start < SETTLE_MS) {
    await sleep(1000);
    await job.sample();
  }
  const before = process.cpuUsage();
  const files = readdirSync("/proc/self/fd").length;
  const took: number[] = [];
  for (let round = 0; round < INTERVALS; round++) {
    await sleep(INTERVAL_MS);
    const begin = process.cpuUsage();
    const sample = await job.sample();
    const { user, system } = process.cpuUsage(begin);
    took.push((user + system) / 1000);
    if (sample?.processes !== processes) console.log(`wanted ${processes} processes, found ${sample?.processes}`);
  }
  const { user, system } = process.cpuUsage(before);
  const share = ((user + system) / 1000 / (INTERVALS * INTERVAL_MS)) * 100;
  const samples = performance.now();
  for (let round = 0; round < 1000; round++) await job.sample();
  console.log(
    `${containment}: ${share.toFixed(2)} % of a core at the default interval, looks included; one sample takes ` +
      `${(took.toSorted((a, b) => a - b)[Math.floor(took.length / 2)] ?? 0).toFixed(1)} ms of processor; ` +
      `1000 more took ${((performance.now() - samples) / 1000).toFixed(1)} s and left ${readdirSync("/proc/self/fd").length - files} file descriptors`,
  );
  job.end({ reason: EndReason.CANCELED, message: "", grace: 0 });
  await job.done;
}
