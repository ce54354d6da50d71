import fs from "node:fs";
import { describe, expect, it } from "vitest";
import { type ContainmentFound, makeContainment } from "../../../../src/agent/job/tree/containment.ts";
import { GpuSource } from "../../../../src/agent/job/usage/gpu/gpu-source.ts";
import { LimitFinder } from "../../../../src/agent/job/usage/limits.ts";
import { Sampler } from "../../../../src/agent/job/usage/sampler.ts";
import { spawnStep } from "../../../../src/agent/job/start/spawn.ts";
import { SpawnProblem } from "../../../../src/agent/job/start/spawn-problem.ts";
import { silentLogger } from "../../../../src/base/logger.ts";
import { EndReason, type MetricSample } from "../../../../src/gen/belay/v1/job_pb.ts";
import { eventually, isAlive } from "../facts.ts";
import { LOCAL_MODES, start } from "../local.ts";

describe.each(LOCAL_MODES)("Samples of a job in a %s", (containment) => {
  it("are taken at the start and the end of each step, whatever the interval", async () => {
    const samples: MetricSample[] = [];
    const order: string[] = [];
    const spec = {
      setup: [{ run: "sleep 0.15" }],
      command: ["sleep", "0.15"],
      metricsInterval: { seconds: 0n, nanos: 0 },
    };
    const handlers = {
      stepStarted: ({ step }: { step: number }) => order.push(`started ${step}`),
      stepEnded: ({ step }: { step: number }) => order.push(`ended ${step}`),
      usage: (sample: MetricSample) => {
        order.push("sample");
        samples.push(sample);
      },
    };
    const { usage } = await start(spec, { containment }, handlers).result;
    expect(order).toEqual(["started 1", "ended 1", "started 2", "ended 2"].flatMap((event) => [event, "sample"]));
    expect(samples.map(({ step }) => step)).toEqual([1, 1, 2, 2]);
    expect(samples.map(({ cpuCores }) => cpuCores !== undefined)).toEqual([false, true, expect.anything(), true]);
    expect(samples[0]).toMatchObject({ exact: usage?.exact });
    expect(samples[0]?.cpuLimitCores).toBeGreaterThan(0);
    const times = samples.map(({ sampleUnixNano }) => sampleUnixNano);
    expect(times).toEqual(times.toSorted((a, b) => Number(a - b)));
    const seconds = samples.map(({ cpuSeconds }) => cpuSeconds);
    expect(seconds).toEqual(seconds.toSorted((a, b) => a - b));
    expect(usage?.peakProcesses).toBeGreaterThanOrEqual(1);
    expect(usage?.peakCpuCores).toBeLessThan(1);
  });

  const seen = containment === "cgroup" ? "tell the memory of a burst between two of them" : "may miss a burst";
  it(`${seen}, and give the same peak as the result does`, async () => {
    const samples: MetricSample[] = [];
    const script = "let held = Buffer.alloc(200_000_000, 1); setTimeout(() => (held = undefined), 400)";
    const spec = { command: [process.execPath, "-e", script], metricsInterval: { seconds: 0n, nanos: 0 } };
    const { usage } = await start(spec, { containment }, { usage: (sample) => samples.push(sample) }).result;
    expect(samples).toHaveLength(2);
    for (const { memoryBytes } of samples) expect(memoryBytes).toBeLessThan(200_000_000n);
    // Without a cgroup, what is between two measurements is not seen, and the first may come before the program is loaded.
    if (containment === "cgroup") expect(usage?.peakMemoryBytes).toBeGreaterThan(200_000_000n);
    const peaks = samples.map(({ peakMemoryBytes = 0n }) => peakMemoryBytes);
    expect(peaks.toSorted((a, b) => Number(a - b)).at(-1)).toBe(usage?.peakMemoryBytes);
  });

  it("count processes, threads and open files of the whole tree", async () => {
    // A shell that waits for two others, each with a file of its own open; "node" has threads.
    const script = `exec 8</dev/null; (exec 9</dev/null; echo a; sleep 1000; :) & "${process.execPath}" -e 'console.log("b"); setInterval(() => 0, 1000)' & wait`;
    const { job, result, stdout } = start({ command: ["sh", "-c", script] }, { containment });
    await eventually("all of it runs", () => stdout().includes("a\n") && stdout().includes("b\n"));
    const { processes: list } = await job.status();
    const sample = await job.sample();
    expect(sample?.processes).toBe(list.length);
    const count = (directory: string): number =>
      list.reduce((sum, { pid }) => sum + fs.readdirSync(`/proc/${pid}/${directory}`).length, 0);
    expect(sample?.threads).toBe(count("task"));
    expect(sample?.threads).toBeGreaterThan(6);
    expect(sample?.openFiles).toBe(count("fd"));
    job.end({ reason: EndReason.CANCELED, message: "", grace: 0 });
    await result;
  });

  it("leave no file descriptor open, after a thousand of them", async () => {
    const found = makeContainment(containment);
    await using tree = await populated(found);
    const sampler = new Sampler(found.tree, {
      limits: new LimitFinder(found.cgroup, found.memoryCgroup),
      memoryLimitBytes: 0,
      gpus: new GpuSource({ environment: {}, logger: silentLogger, interval: 0 }),
    });
    sampler.sample(1, tree.pid);
    const before = fs.readdirSync("/proc/self/fd").length;
    for (let round = 0; round < 1000; round++) sampler.sample(1, tree.pid);
    expect(fs.readdirSync("/proc/self/fd").length).toBe(before);
    await sampler.close();
  });
});

/** A tree with a few processes in it. */
async function populated({ tree, cookie }: ContainmentFound): Promise<{ pid: number } & AsyncDisposable> {
  const sink = fs.openSync("/dev/null", "w");
  const spawned = await spawnStep({
    argv: ["sh", "-c", "for i in 1 2 3 4; do sleep 1000 & done; wait"],
    cwd: "/",
    environment: { PATH: process.env["PATH"] ?? "", BELAY_COOKIE: cookie },
    stdout: sink,
    stderr: sink,
    tree,
  });
  fs.closeSync(sink);
  if (spawned instanceof SpawnProblem) throw new Error(spawned.message);
  await eventually("they run", () => tree.members().length === 5);
  return {
    pid: spawned.pid,
    async [Symbol.asyncDispose]() {
      tree.kill();
      await spawned.exited;
      await eventually("all are gone", () => tree.isEmpty() && !isAlive(spawned.pid));
      tree.close();
    },
  };
}

it("The average between two samples is that of their times, however long a sample takes", () => {
  const found = makeContainment("process-group");
  const slow = (): { cores: number; memoryBytes: number } => {
    for (const end = performance.now() + 50; performance.now() < end; );
    return { cores: 1, memoryBytes: 0 };
  };
  const busy = { cpuSeconds: 0, memoryBytes: 1, peakMemoryBytes: 1, processes: 1, threads: 1, exact: false };
  // One processor is kept busy all the time.
  found.tree.usage = () => ({ ...busy, cpuSeconds: performance.now() / 1000 });
  const sampler = new Sampler(found.tree, {
    limits: { find: slow } as unknown as LimitFinder,
    memoryLimitBytes: 0,
    gpus: new GpuSource({ environment: {}, logger: silentLogger, interval: 0 }),
  });
  const [first, second] = [sampler.sample(1, process.pid), sampler.sample(1, process.pid)];
  const seconds = Number(second.sampleUnixNano - first.sampleUnixNano) / 1e9;
  expect((second.cpuSeconds - first.cpuSeconds) / seconds).toBeCloseTo(1, 1);
  expect(second.cpuCores).toBeCloseTo(1, 1);
  found.tree.close();
});
