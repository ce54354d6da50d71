import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { runAgent } from "../../../src/agent/run.ts";
import type { MetricSample } from "../../../src/gen/belay/v1/job_pb.ts";
import { JobSpecSchema } from "../../../src/gen/belay/v1/job_pb.ts";
import { ScriptedAgent } from "../../../src/testing/index.ts";
import { OtlpCollector } from "../../helpers/otlp-collector.ts";
import type { ReceivedPoint } from "../../helpers/otlp-decode.ts";
import { someSpec, testTracker } from "../../helpers/tracker.ts";

async function exporting() {
  const collector = await OtlpCollector.start();
  const otlp = { endpoint: collector.endpoint, metricsInterval: 50 };
  return { collector, ...(await testTracker({ otlp })) };
}

describe("What a running job uses", () => {
  it("is exported as its agent measured it", { timeout: 30_000 }, async () => {
    const { collector, address, jobs } = await exporting();
    const program = "const held = Buffer.alloc(100e6, 1); for (;;) { held[0] = Math.random() * 100; }";
    const spec = create(JobSpecSchema, {
      name: "busy",
      labels: { team: "ml" },
      command: [process.execPath, "-e", program],
      metricsInterval: durationFromMs(200),
    });
    const stop = new AbortController();
    const done = runAgent({ tracker: address, jobId: "j1", spec, stop: stop.signal });
    const point = await collector.until(() => collector.latest("belay.job.cpu.time", ({ value }) => value > 0.5));
    stop.abort();
    await done;
    const samples = new Map<bigint, MetricSample>();
    for await (const { samples: some } of jobs.readMetrics({ jobId: "j1" })) {
      for (const sample of some) samples.set(sample.sampleUnixNano, sample);
    }
    const sample = samples.get(point.time);
    const at = (metric: string, more: Record<string, unknown> = {}): ReceivedPoint | undefined =>
      collector.latest(
        metric,
        ({ time, attributes }) =>
          time === point.time && Object.entries(more).every(([name, value]) => attributes[name] === value),
      );
    expect(point).toMatchObject({ value: sample?.cpuSeconds, unit: "s", counts: true });
    expect(at("belay.job.cpu.usage")?.value).toBe(sample?.cpuCores);
    expect(at("belay.job.memory.usage")).toMatchObject({
      value: Number(sample?.memoryBytes),
      unit: "By",
      counts: false,
    });
    expect(at("belay.job.memory.usage")?.value).toBeGreaterThan(100e6);
    expect(at("belay.job.processes")?.value).toBe(sample?.processes);
    const written = at("belay.job.disk.io", { "disk.io.direction": "write" });
    // Not every machine counts them.
    expect(written?.value).toBe(sample?.diskWrittenBytes === undefined ? undefined : Number(sample.diskWrittenBytes));
    expect(point.start).toBeLessThan(point.time);
    expect(point.attributes).toEqual({
      "belay.job.id": "j1",
      "belay.job.name": "busy",
      "belay.job.label.team": "ml",
      "belay.attempt": 1,
    });
  });

  it("is exported with every known value, and with no others", async () => {
    const { collector, address } = await exporting();
    const agent = ScriptedAgent.connect({ url: address, jobId: "a" });
    await agent.hello({ spec: someSpec });
    const gpu = { index: 1, uuid: "GPU-1", name: "H100", utilization: 0.5, memoryUsedBytes: 3n, memoryTotalBytes: 4n };
    const usage = {
      cpuSeconds: 1,
      cpuCores: 0.5,
      cpuLimitCores: 2,
      memoryBytes: 7n,
      memoryLimitBytes: 8n,
      processes: 3,
    };
    const more = { threads: 4, openFiles: 5, diskReadBytes: 6n, networkSentBytes: 9n, memoryPressure: 0.25 };
    const gpus = [{ ...gpu, jobMemoryBytes: 2n, temperatureCelsius: 40, powerWatts: 70 }];
    agent.event({ case: "metricSample", value: { sampleUnixNano: 5_000_000_000n, ...usage, ...more, gpus } });
    await collector.until(() => collector.latest("belay.job.gpu.power"));
    const device = { "hw.id": "GPU-1", "hw.name": "H100", "belay.gpu.index": 1 };
    const identity = { "belay.job.id": "a", "belay.job.name": "some", "belay.attempt": 1 };
    const seen = collector.points.map(({ metric, unit, value, counts, attributes }) => {
      const own = Object.entries(attributes).filter(([name]) => !Object.hasOwn(identity, name));
      return JSON.stringify([metric, unit, value, counts, Object.fromEntries(own)]);
    });
    expect([...new Set(seen)].map((text) => JSON.parse(text) as unknown)).toEqual([
      ["belay.job.cpu.time", "s", 1, true, {}],
      ["belay.job.cpu.usage", "{cpu}", 0.5, false, {}],
      ["belay.job.cpu.limit", "{cpu}", 2, false, {}],
      ["belay.job.memory.usage", "By", 7, false, {}],
      ["belay.job.memory.limit", "By", 8, false, {}],
      ["belay.job.processes", "{process}", 3, false, {}],
      ["belay.job.threads", "{thread}", 4, false, {}],
      ["belay.job.open_files", "{file}", 5, false, {}],
      ["belay.job.disk.io", "By", 6, true, { "disk.io.direction": "read" }],
      ["belay.job.network.io", "By", 9, true, { "network.io.direction": "transmit" }],
      ["belay.job.pressure", "1", 0.25, false, { "belay.resource": "memory" }],
      ["belay.job.gpu.utilization", "1", 0.5, false, device],
      ["belay.job.gpu.memory.usage", "By", 3, false, { ...device, "belay.gpu.user": "all" }],
      ["belay.job.gpu.memory.usage", "By", 2, false, { ...device, "belay.gpu.user": "job" }],
      ["belay.job.gpu.memory.limit", "By", 4, false, device],
      ["belay.job.gpu.temperature", "Cel", 40, false, device],
      ["belay.job.gpu.power", "W", 70, false, device],
    ]);
  });

  it("is exported one last time after the job's end", async () => {
    const { collector, address } = await exporting();
    const agent = ScriptedAgent.connect({ url: address, jobId: "a" });
    await agent.hello({ spec: someSpec });
    agent.state("RUNNING");
    agent.event({ case: "metricSample", value: { sampleUnixNano: 5_000_000_000n, cpuSeconds: 1.5, memoryBytes: 7n } });
    agent.result();
    await collector.until(() => collector.latest("belay.job.cpu.time", ({ value }) => value === 1.5));
    const other = ScriptedAgent.connect({ url: address, jobId: "b" });
    await other.hello({ spec: someSpec });
    other.event({ case: "metricSample", value: { sampleUnixNano: 6_000_000_000n, cpuSeconds: 2 } });
    // What comes from now on is of one export each; the first may have been under way.
    await collector.until(() => collector.latest("belay.job.cpu.time", ({ value }) => value === 2));
    collector.points.length = 0;
    await collector.until(() => collector.latest("belay.job.cpu.time", ({ value }) => value === 2));
    expect(new Set(collector.points.map(({ attributes }) => attributes["belay.job.id"]))).toEqual(new Set(["b"]));
  });
});

describe("What a job reports about itself", () => {
  it("is exported by name, with its progress", async () => {
    const { collector, address } = await exporting();
    const agent = ScriptedAgent.connect({ url: address, jobId: "a" });
    await agent.hello({ spec: someSpec });
    const readUnixNano = 7_000_000_000n;
    const say = (loss: number): void => {
      const metrics = [
        { name: "loss", value: loss },
        ...Array.from({ length: 150 }, (_, i) => ({ name: `n${i}`, value: i })),
      ];
      agent.event({
        case: "jobMetrics",
        value: { readUnixNano, metrics, progress: { fraction: 0.25, note: "epoch 1", readUnixNano } },
      });
    };
    say(0.5);
    say(0.25);
    const loss = await collector.until(() =>
      collector.latest("belay.job.metric", ({ value, attributes }) => {
        return attributes["belay.job.metric.name"] === "loss" && value === 0.25;
      }),
    );
    expect(loss).toMatchObject({ time: readUnixNano, counts: false, attributes: { "belay.job.id": "a" } });
    expect(await collector.until(() => collector.latest("belay.job.progress"))).toMatchObject({
      value: 0.25,
      unit: "1",
    });
    const names = collector.points.filter(({ metric }) => metric === "belay.job.metric");
    expect(new Set(names.map(({ attributes }) => attributes["belay.job.metric.name"])).size).toBe(100);
  });
});
