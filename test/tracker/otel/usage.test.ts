import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { runAgent } from "../../../src/agent/run.ts";
import type { MetricSample } from "../../../src/gen/belay/v1/job_pb.ts";
import { JobSpecSchema, JobState } from "../../../src/gen/belay/v1/job_pb.ts";
import { OtlpCollector } from "../../helpers/otlp-collector.ts";
import type { ReceivedPoint } from "../../helpers/otlp-decode.ts";
import { ScriptedAgent } from "../../helpers/scripted-agent.ts";
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
    if (sample?.diskWrittenBytes !== undefined) {
      const written = at("belay.job.disk.io", { "disk.io.direction": "write" });
      expect(written?.value).toBe(Number(sample.diskWrittenBytes));
    }
    expect(point.start).toBeLessThan(point.time);
    expect(point.attributes).toEqual({
      "belay.job.id": "j1",
      "belay.job.name": "busy",
      "belay.job.label.team": "ml",
      "belay.attempt": 1,
    });
  });

  it("is exported a last time after its end, and then no more", async () => {
    const { collector, address } = await exporting();
    const agent = new ScriptedAgent(address, "a");
    await agent.hello({ spec: someSpec });
    agent.state(JobState.RUNNING);
    agent.event({ case: "metricSample", value: { sampleUnixNano: 5_000_000_000n, cpuSeconds: 1.5, memoryBytes: 7n } });
    agent.result();
    await collector.until(() => collector.latest("belay.job.cpu.time", ({ value }) => value === 1.5));
    const other = new ScriptedAgent(address, "b");
    await other.hello({ spec: someSpec });
    other.event({ case: "metricSample", value: { sampleUnixNano: 6_000_000_000n, cpuSeconds: 2 } });
    // What comes from now on is of one export each; the first may have been under way.
    await collector.until(() => collector.latest("belay.job.cpu.time", ({ value }) => value === 2));
    collector.points.length = 0;
    await collector.until(() => collector.latest("belay.job.cpu.time", ({ value }) => value === 2));
    expect(new Set(collector.points.map(({ attributes }) => attributes["belay.job.id"]))).toEqual(new Set(["b"]));
  });
});

describe("What a job says about itself", () => {
  it("is exported by its name, with how far it has come", async () => {
    const { collector, address } = await exporting();
    const agent = new ScriptedAgent(address, "a");
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
