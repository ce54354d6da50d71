import type { MetricSample } from "../../../gen/belay/v1/job_pb.ts";
import type { ReadMetricsResponse } from "../../../gen/belay/v1/job_service_pb.ts";
import { wrap } from "../wrap.ts";
import { msOfNano } from "./series.ts";

/** Which table. `usage`: a row for each sample; `gpus`: for each device; `values`: for each value of the job's own. */
export type CsvKind = "usage" | "gpus" | "values";

type Cell = string | number | bigint | boolean | undefined;

/** Columns are part of the contract: new ones are added at the end, none is removed. */
const USAGE: Readonly<Record<string, (sample: MetricSample) => Cell>> = {
  time: ({ sampleUnixNano }) => timeText(sampleUnixNano),
  step: ({ step }) => step,
  cpu_cores: ({ cpuCores }) => cpuCores,
  cpu_seconds: ({ cpuSeconds }) => cpuSeconds,
  cpu_limit_cores: ({ cpuLimitCores }) => (cpuLimitCores === 0 ? undefined : cpuLimitCores),
  memory_bytes: ({ memoryBytes }) => memoryBytes,
  memory_limit_bytes: ({ memoryLimitBytes }) => (memoryLimitBytes === 0n ? undefined : memoryLimitBytes),
  processes: ({ processes }) => processes,
  threads: ({ threads }) => threads,
  open_files: ({ openFiles }) => openFiles,
  disk_read_bytes: ({ diskReadBytes }) => diskReadBytes,
  disk_written_bytes: ({ diskWrittenBytes }) => diskWrittenBytes,
  network_received_bytes: ({ networkReceivedBytes }) => networkReceivedBytes,
  network_sent_bytes: ({ networkSentBytes }) => networkSentBytes,
  cpu_pressure: ({ cpuPressure }) => cpuPressure,
  memory_pressure: ({ memoryPressure }) => memoryPressure,
  io_pressure: ({ ioPressure }) => ioPressure,
  exact: ({ exact }) => exact,
  merged_samples: ({ merged }) => merged?.samples ?? 1n,
  first_time: ({ merged, sampleUnixNano }) => timeText(merged?.firstUnixNano ?? sampleUnixNano),
  peak_cpu_cores: ({ merged, cpuCores }) => merged?.peakCpuCores ?? cpuCores,
  mean_memory_bytes: ({ merged, memoryBytes }) => merged?.meanMemoryBytes ?? memoryBytes,
  peak_memory_bytes: ({ peakMemoryBytes, memoryBytes }) => peakMemoryBytes ?? memoryBytes,
};

const HEADERS: Readonly<Record<CsvKind, readonly string[]>> = {
  usage: Object.keys(USAGE),
  gpus: [
    "time",
    "index",
    "uuid",
    "name",
    "utilization",
    "memory_used_bytes",
    "memory_total_bytes",
    "job_memory_bytes",
    "temperature_celsius",
    "power_watts",
  ],
  values: ["time", "name", "value", "step"],
};

/** Names of the columns, with a newline. */
export function csvHeader(kind: CsvKind): string {
  return row(HEADERS[kind]);
}

/** The same names as the help lists them: indented, without commas. No newline at the end. */
export function csvColumns(kind: CsvKind, width: number): string {
  return wrap(HEADERS[kind].join(" "), width - 2)
    .map((line) => `  ${line}`)
    .join("")
    .trimEnd();
}

/** Rows as in RFC 4180, except that a newline is one character. */
export function csvRows(kind: CsvKind, { samples, jobMetrics }: ReadMetricsResponse): string {
  switch (kind) {
    case "usage":
      return samples.map((sample) => row(Object.values(USAGE).map((cell) => cell(sample)))).join("");
    case "gpus":
      return samples
        .flatMap(({ sampleUnixNano, gpus }) =>
          gpus.map((gpu) =>
            row([
              timeText(sampleUnixNano),
              gpu.index,
              gpu.uuid,
              gpu.name,
              gpu.utilization,
              gpu.memoryUsedBytes,
              gpu.memoryTotalBytes,
              gpu.jobMemoryBytes,
              gpu.temperatureCelsius,
              gpu.powerWatts,
            ]),
          ),
        )
        .join("");
    case "values":
      return jobMetrics
        .flatMap(({ readUnixNano, metrics }) =>
          metrics.map(({ name, value, step }) => row([timeText(readUnixNano), name, number(value), step])),
        )
        .join("");
  }
}

/** `2026-11-22T08:33:17.123Z` */
export function timeText(nano: bigint): string {
  return new Date(Math.floor(msOfNano(nano))).toISOString();
}

/** A number as Python, R and spreadsheets read it. */
function number(value: number): string {
  if (Number.isNaN(value)) return "nan";
  return Number.isFinite(value) ? String(value) : value < 0 ? "-inf" : "inf";
}

function row(cells: readonly Cell[]): string {
  return `${cells.map((cell) => quoted(cell === undefined ? "" : String(cell))).join(",")}\n`;
}

function quoted(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
