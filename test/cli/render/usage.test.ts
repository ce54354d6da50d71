import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { gpuFacts, metricsText, usageText } from "../../../src/cli/render/usage.ts";
import { GpuSampleSchema, MetricSampleSchema, ResourceUsageSchema } from "../../../src/gen/belay/v1/job_pb.ts";

describe("What a job uses", () => {
  it("is one line with the known values", () => {
    const sample = {
      cpuCores: 0.5,
      cpuSeconds: 4.1,
      cpuLimitCores: 1.5,
      memoryBytes: 35_651_584n,
      processes: 3,
    };
    expect(metricsText(create(MetricSampleSchema, sample))).toBe(
      "cpu 0.50 of 1.5 cores (4.1 s), memory 34.0 MiB, 3 processes",
    );
    const more = {
      ...sample,
      diskReadBytes: 0n,
      diskWrittenBytes: 20n << 20n,
      networkReceivedBytes: 0n,
      networkSentBytes: 0n,
    };
    expect(metricsText(create(MetricSampleSchema, more))).toBe(
      "cpu 0.50 of 1.5 cores (4.1 s), memory 34.0 MiB, 3 processes, disk 0 B read and 20.0 MiB written",
    );
  });

  it("is one line after its end, which says what was only sampled", () => {
    const usage = { cpuSeconds: 4.1, peakMemoryBytes: 35_651_584n, exact: false };
    expect(usageText(create(ResourceUsageSchema, usage))).toBe("4.10 s of processor, 34.0 MiB at most (sampled)");
    const more = {
      ...usage,
      exact: true,
      networkReceivedBytes: 1024n,
      networkSentBytes: 0n,
      peakGpuMemoryBytes: 3n << 30n,
    };
    expect(usageText(create(ResourceUsageSchema, more))).toBe(
      "4.10 s of processor, 34.0 MiB at most, network 1.0 KiB received and 0 B sent, 3.0 GiB of GPU memory at most",
    );
  });

  it("has a line for each graphics processor, with control sequences in names as text", () => {
    const gpus = [
      {
        name: "NVIDIA H100 80GB HBM3\u001b[2J",
        utilization: 0.931,
        memoryUsedBytes: 41n << 30n,
        memoryTotalBytes: 80n << 30n,
        jobMemoryBytes: 40n << 30n,
        temperatureCelsius: 61,
        powerWatts: 412.3,
      },
      { index: 1, name: "GB10", temperatureCelsius: 40 },
    ].map((gpu) => create(GpuSampleSchema, gpu));
    const [[first, text] = [], second] = gpuFacts(gpus);
    expect(first).toBe("GPU 0");
    expect(text).toMatch(/: 93 %, 41.0 GiB of 80.0 GiB \(job 40.0 GiB\), 61 °C, 412 W$/);
    expect(text).not.toContain("\u001b");
    expect(second).toEqual(["GPU 1", "GB10: 40 °C"]);
  });
});
