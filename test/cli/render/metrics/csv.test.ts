import { create } from "@bufbuild/protobuf";
import { readFile } from "node:fs/promises";
import { expect, it } from "vitest";
import { csvHeader, csvRows } from "../../../../src/cli/render/metrics/csv.ts";
import { ReadMetricsResponseSchema } from "../../../../src/gen/belay/v1/job_service_pb.ts";

const AT = 1_700_000_000_123_456_789n;

it("A sample is a row, an unknown value an empty cell; columns never move", () => {
  const samples = [
    { sampleUnixNano: AT, step: 1, cpuSeconds: 2.5, memoryBytes: 1000n, processes: 3, threads: 4 },
    {
      sampleUnixNano: AT,
      step: 1,
      cpuCores: 1.5,
      cpuSeconds: 9,
      cpuLimitCores: 4,
      memoryBytes: 1000n,
      memoryLimitBytes: 2000n,
      processes: 3,
      openFiles: 7,
      diskReadBytes: 1n,
      diskWrittenBytes: 2n,
      networkReceivedBytes: 3n,
      networkSentBytes: 4n,
      peakMemoryBytes: 1500n,
      cpuPressure: 0.1,
      memoryPressure: 0,
      ioPressure: 1,
      exact: true,
      merged: { samples: 4n, firstUnixNano: AT - 15_000_000_000n, peakCpuCores: 3, meanMemoryBytes: 500.5 },
    },
  ];
  expect(csvHeader("usage")).toBe(
    "time,step,cpu_cores,cpu_seconds,cpu_limit_cores,memory_bytes,memory_limit_bytes,processes,threads,open_files," +
      "disk_read_bytes,disk_written_bytes,network_received_bytes,network_sent_bytes,cpu_pressure,memory_pressure," +
      "io_pressure,exact,merged_samples,first_time,peak_cpu_cores,mean_memory_bytes,peak_memory_bytes\n",
  );
  expect(csvRows("usage", create(ReadMetricsResponseSchema, { samples }))).toBe(
    "2023-11-14T22:13:20.123Z,1,,2.5,,1000,,3,4,,,,,,,,,false,1,2023-11-14T22:13:20.123Z,,1000,1000\n" +
      "2023-11-14T22:13:20.123Z,1,1.5,9,4,1000,2000,3,,7,1,2,3,4,0.1,0,1,true,4,2023-11-14T22:13:05.123Z,3,500.5,1500\n",
  );
});

it("A value of the job's own metrics is a row; names are quoted if necessary", () => {
  const metrics = [
    { name: "loss", value: 0.25, step: 10 },
    { name: 'a,"b"', value: Number.NaN },
    { name: "up", value: Number.POSITIVE_INFINITY },
  ];
  expect(csvHeader("values")).toBe("time,name,value,step\n");
  expect(csvRows("values", create(ReadMetricsResponseSchema, { jobMetrics: [{ readUnixNano: AT, metrics }] }))).toBe(
    '2023-11-14T22:13:20.123Z,loss,0.25,10\n2023-11-14T22:13:20.123Z,"a,""b""",nan,\n2023-11-14T22:13:20.123Z,up,inf,\n',
  );
});

it("A graphics processor in a sample is a row", () => {
  const gpus = [
    { index: 0, uuid: "GPU-5c", name: "H100", utilization: 0.5, memoryUsedBytes: 1n, memoryTotalBytes: 2n },
  ];
  expect(csvRows("gpus", create(ReadMetricsResponseSchema, { samples: [{ sampleUnixNano: AT, gpus }] }))).toBe(
    "2023-11-14T22:13:20.123Z,0,GPU-5c,H100,0.5,1,2,,,\n",
  );
});

it("docs/metrics.md has every column, in order", async () => {
  const docs = await readFile(new URL("../../../../docs/metrics.md", import.meta.url), "utf8");
  const plain = docs.replaceAll(/`| \([^)]*\)/g, "");
  for (const kind of ["usage", "values", "gpus"] as const) {
    expect(plain).toContain(`| ${csvHeader(kind).trim().replaceAll(",", ", ")} |`);
  }
});
