import { toBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { MiB } from "../../../src/base/text/sizes.ts";
import type { JobMetrics, MetricSample } from "../../../src/gen/belay/v1/job_pb.ts";
import { ReadMetricsResponseSchema } from "../../../src/gen/belay/v1/job_service_pb.ts";
import { ScriptedAgent } from "../../../src/testing/index.ts";
import { someSpec, testTracker } from "../../helpers/tracker.ts";

const SECOND = 1_000_000_000n;

function sample(at: number, memory = at): Parameters<ScriptedAgent["event"]>[0] {
  const value = { sampleUnixNano: BigInt(at) * SECOND, memoryBytes: BigInt(memory), cpuSeconds: at };
  return { case: "metricSample", value };
}

describe("A reader of metrics", () => {
  test("that follows gets every sample once and in order, while older ones are merged", async () => {
    const { address, jobs } = await testTracker();
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    for (let i = 1; i <= 900; i++) agent.event(sample(i));
    await agent.acked(900n, 0n);
    const samples: MetricSample[] = [];
    const seen = Promise.withResolvers<void>();
    const following = (async () => {
      for await (const answer of jobs.readMetrics({ jobId: "j", follow: true })) {
        samples.push(...answer.samples);
        if (samples.length >= 900) seen.resolve();
      }
    })();
    await seen.promise;
    for (let i = 901; i <= 3000; i++) agent.event(sample(i));
    agent.result();
    await following;
    // A reader that is late by a thousand samples gets some of them merged, the first with samples that it already has.
    let next = SECOND;
    for (const { sampleUnixNano, merged } of samples) {
      expect(sampleUnixNano).toBeGreaterThanOrEqual(next);
      expect(merged?.firstUnixNano ?? next).toBeLessThanOrEqual(next);
      if (merged === undefined) expect(sampleUnixNano).toBe(next);
      next = sampleUnixNano + SECOND;
    }
    expect(next).toBe(3001n * SECOND);
  });

  test("that asks for few points gets no more, and one of them has the peak", async () => {
    const { address, jobs } = await testTracker();
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    for (let i = 1; i <= 2500; i++) agent.event(sample(i, i === 1234 ? 1_000_000 : i));
    for (let i = 1; i <= 300; i++) {
      const metrics = [{ name: "loss", value: i === 150 ? -5 : 1 / i, step: i }];
      agent.event({ case: "jobMetrics", value: { readUnixNano: BigInt(i) * SECOND, metrics } });
    }
    await agent.acked(2800n, 0n);
    const samples: MetricSample[] = [];
    const losses: number[] = [];
    for await (const answer of jobs.readMetrics({ jobId: "j", maxSamples: 50 })) {
      samples.push(...answer.samples);
      losses.push(...answer.jobMetrics.flatMap(({ metrics }) => metrics.map(({ value }) => value)));
    }
    expect(samples).toHaveLength(50);
    expect(Math.max(...samples.map(({ memoryBytes }) => Number(memoryBytes)))).toBe(1_000_000);
    expect(samples.at(-1)?.cpuSeconds).toBe(2500);
    expect(samples.every(({ cpuCores }) => cpuCores === undefined || Math.abs(cpuCores - 1) < 1e-9)).toBe(true);
    expect(losses.length).toBeLessThanOrEqual(50 * 4);
    expect([losses[0], Math.min(...losses), losses.at(-1)]).toEqual([1, -5, 1 / 300]);
  });

  test("gets the number of values that were not kept", async () => {
    const { address, jobs } = await testTracker();
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    const metrics = Array.from({ length: 300 }, (_, i) => ({ name: `n${i}`, value: i }));
    for (let i = 1; i <= 2; i++) agent.event({ case: "jobMetrics", value: { readUnixNano: BigInt(i), metrics } });
    await agent.acked(2n, 0n);
    const unkept: bigint[] = [];
    for await (const { unkeptValues } of jobs.readMetrics({ jobId: "j" })) unkept.push(unkeptValues);
    expect(unkept).toEqual([88n]);
  });

  test("gets the points of a long record in several answers of at most 3 MiB, in order and whole", async () => {
    const { address, jobs } = await testTracker();
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    const points = 40;
    for (let i = 1; i <= points; i++) {
      const metrics = Array.from({ length: 1024 }, (_, k) => ({
        name: `${k % 256}`.padStart(128, "n"),
        value: k,
        step: k,
      }));
      agent.event({ case: "jobMetrics", value: { readUnixNano: BigInt(i), metrics } });
    }
    agent.event(sample(1));
    await agent.acked(BigInt(points) + 1n, 0n);
    const sizes: number[] = [];
    const own: JobMetrics[] = [];
    let samples = 0;
    for await (const answer of jobs.readMetrics({ jobId: "j" })) {
      sizes.push(toBinary(ReadMetricsResponseSchema, answer).byteLength);
      own.push(...answer.jobMetrics);
      samples += answer.samples.length;
    }
    expect(Math.max(...sizes)).toBeLessThanOrEqual(3 * MiB);
    // They would all be in one, as they are fewer than 64.
    expect(sizes.reduce((sum, bytes) => sum + bytes)).toBeGreaterThan(4 * MiB);
    expect(own.map(({ readUnixNano }) => readUnixNano)).toEqual(
      Array.from({ length: points }, (_, i) => BigInt(i + 1)),
    );
    expect(own.every(({ metrics }) => metrics.length === 1024)).toBe(true);
    expect(samples).toBe(1);
  });
});
