import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { MetricSample } from "../../src/gen/belay/v1/job_pb.ts";
import { MetricSampleSchema } from "../../src/gen/belay/v1/job_pb.ts";
import { mergeSamples } from "../../src/contract/merge-samples.ts";

const SECOND = 1_000_000_000n;

describe("Merged samples", () => {
  test("keep peaks and last counters; the processor use is that of the whole span", () => {
    const [before, a, b] = [
      create(MetricSampleSchema, { sampleUnixNano: 0n, cpuSeconds: 10 }),
      create(MetricSampleSchema, {
        sampleUnixNano: 5n * SECOND,
        step: 1,
        cpuCores: 2,
        cpuSeconds: 20,
        cpuLimitCores: 4,
        memoryBytes: 300n,
        memoryLimitBytes: 1000n,
        processes: 9,
        threads: 20,
        diskReadBytes: 7n,
        diskWrittenBytes: 1n,
        cpuPressure: 0.5,
        exact: true,
        gpus: [{ index: 0, uuid: "g0", utilization: 0.9, memoryUsedBytes: 50n, jobMemoryBytes: 40n, powerWatts: 200 }],
      }),
      create(MetricSampleSchema, {
        sampleUnixNano: 10n * SECOND,
        step: 2,
        cpuCores: 0,
        cpuSeconds: 20,
        cpuLimitCores: 4,
        memoryBytes: 100n,
        memoryLimitBytes: 1000n,
        processes: 1,
        openFiles: 5,
        diskWrittenBytes: 3n,
        cpuPressure: 0.1,
        exact: true,
        gpus: [
          { index: 0, uuid: "g0", utilization: 0.1, memoryUsedBytes: 60n, temperatureCelsius: 70 },
          { index: 1, uuid: "g1", memoryUsedBytes: 1n },
        ],
      }),
    ];
    expect(mergeSamples([a, b] as MetricSample[], before)).toEqual(
      create(MetricSampleSchema, {
        sampleUnixNano: 10n * SECOND,
        step: 2,
        cpuCores: 1,
        cpuSeconds: 20,
        cpuLimitCores: 4,
        memoryBytes: 300n,
        memoryLimitBytes: 1000n,
        processes: 9,
        threads: 20,
        openFiles: 5,
        diskReadBytes: 7n,
        diskWrittenBytes: 3n,
        cpuPressure: 0.5,
        exact: true,
        gpus: [
          {
            index: 0,
            uuid: "g0",
            utilization: 0.9,
            memoryUsedBytes: 60n,
            jobMemoryBytes: 40n,
            temperatureCelsius: 70,
            powerWatts: 200,
          },
          { index: 1, uuid: "g1", memoryUsedBytes: 1n },
        ],
        merged: { samples: 2n, firstUnixNano: 5n * SECOND, peakCpuCores: 2, meanMemoryBytes: 200 },
      }),
    );
  });

  test("have what can be known when the sample before is missing or the clock was set back", () => {
    const at = (seconds: bigint, cpuSeconds: number, cpuCores?: number): MetricSample =>
      create(MetricSampleSchema, {
        sampleUnixNano: seconds * SECOND,
        cpuSeconds,
        ...(cpuCores === undefined ? {} : { cpuCores }),
      });
    expect(mergeSamples([at(1n, 1), at(3n, 2, 0.5)]).cpuCores).toBe(0.5);
    expect(mergeSamples([at(9n, 1), at(3n, 2, 0.7)], at(8n, 0)).cpuCores).toBe(0.7);
    expect(mergeSamples([at(3n, 1)])).toEqual(at(3n, 1));
  });

  test("keep the same peaks, totals and times, however often and in whatever groups they are merged", () => {
    const sample = fc.record({
      memory: fc.nat(1e9),
      cpu: fc.nat(1000),
      cores: fc.nat(64),
      files: fc.option(fc.nat(99)),
    });
    fc.assert(
      fc.property(fc.array(sample, { minLength: 1, maxLength: 60 }), fc.array(fc.nat(7)), (raw, cuts) => {
        let cpuSeconds = 0;
        const samples = raw.map(({ memory, cpu, cores, files }, i) => {
          cpuSeconds += cpu;
          return create(MetricSampleSchema, {
            sampleUnixNano: BigInt(i) * SECOND,
            memoryBytes: BigInt(memory),
            cpuCores: cores,
            cpuSeconds,
            ...(files === null ? {} : { openFiles: files }),
          });
        });
        let series: MetricSample[] = samples;
        for (const cut of cuts) {
          const at = cut % series.length;
          const group = series.slice(at, at + 3);
          series = [...series.slice(0, at), mergeSamples(group, series[at - 1]), ...series.slice(at + 3)];
        }
        const one = mergeSamples(series);
        const most = (values: (number | undefined)[]): number => Math.max(...values.map((value) => value ?? -1));
        expect(Number(one.memoryBytes)).toBe(most(raw.map(({ memory }) => memory)));
        expect(one.openFiles ?? -1).toBe(most(raw.map(({ files }) => files ?? -1)));
        expect(one.merged?.peakCpuCores ?? one.cpuCores).toBe(most(raw.map(({ cores }) => cores)));
        expect(one.cpuSeconds).toBe(cpuSeconds);
        expect(one.sampleUnixNano).toBe(BigInt(raw.length - 1) * SECOND);
        expect(one.merged?.samples ?? 1n).toBe(BigInt(raw.length));
        expect(one.merged?.firstUnixNano ?? 0n).toBe(0n);
        const mean = raw.reduce((sum, { memory }) => sum + memory, 0) / raw.length;
        expect(one.merged?.meanMemoryBytes ?? Number(one.memoryBytes)).toBeCloseTo(mean, 3);
        const times = series.map(({ sampleUnixNano }) => sampleUnixNano);
        expect(times).toEqual(times.toSorted((a, b) => Number(a - b)));
      }),
    );
  });
});
