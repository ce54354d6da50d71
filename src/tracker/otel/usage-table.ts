import type { MetricSample } from "../../gen/belay/v1/job_pb.ts";
import type { Attributes } from "./span-record.ts";

/** A value of one metric, with its attributes. */
type Value = readonly [value: number | bigint | undefined, attributes?: Attributes];

/** One metric of what a job uses. */
export interface UsageMetric {
  readonly name: string;
  readonly unit: string;
  readonly description: string;
  /** Whether the metric is a counter that only rises from the start of the attempt. */
  readonly counts: boolean;
  /** The metric's values in a sample; undefined: not known. */
  read(sample: MetricSample): readonly Value[];
}

function gauge(name: string, unit: string, description: string, read: UsageMetric["read"]): UsageMetric {
  return { name: `belay.job.${name}`, unit, description, counts: false, read };
}

function counter(name: string, unit: string, description: string, read: UsageMetric["read"]): UsageMetric {
  return { name: `belay.job.${name}`, unit, description, counts: true, read };
}

/** A limit of 0 means that there is no limit. */
function limit(value: number | bigint): number | bigint | undefined {
  return Number(value) === 0 ? undefined : value;
}

/** All metrics of usage. Their names are part of the contract: they do not change. */
export const USAGE_METRICS: readonly UsageMetric[] = [
  counter("cpu.time", "s", "Processor time used since the start of the attempt.", (s) => [[s.cpuSeconds]]),
  gauge("cpu.usage", "{cpu}", "Processors kept busy.", (s) => [[s.cpuCores]]),
  gauge("cpu.limit", "{cpu}", "Processors that the job may use.", (s) => [[limit(s.cpuLimitCores)]]),
  gauge("memory.usage", "By", "Resident memory of all processes.", (s) => [[s.memoryBytes]]),
  gauge("memory.limit", "By", "Memory that the job may use.", (s) => [[limit(s.memoryLimitBytes)]]),
  gauge("processes", "{process}", "Processes alive.", (s) => [[s.processes]]),
  gauge("threads", "{thread}", "Threads alive.", (s) => [[s.threads]]),
  gauge("open_files", "{file}", "Open file descriptors.", (s) => [[s.openFiles]]),
  counter("disk.io", "By", "Bytes read from and written to storage.", (s) => [
    [s.diskReadBytes, { "disk.io.direction": "read" }],
    [s.diskWrittenBytes, { "disk.io.direction": "write" }],
  ]),
  counter("network.io", "By", "Bytes received from and sent to the network.", (s) => [
    [s.networkReceivedBytes, { "network.io.direction": "receive" }],
    [s.networkSentBytes, { "network.io.direction": "transmit" }],
  ]),
  gauge("pressure", "1", "Share of the last 10 s in which some process waited.", (s) => [
    [s.cpuPressure, { "belay.resource": "cpu" }],
    [s.memoryPressure, { "belay.resource": "memory" }],
    [s.ioPressure, { "belay.resource": "io" }],
  ]),
  gauge("gpu.utilization", "1", "Share of time that a device was busy, with any process.", (s) =>
    s.gpus.map((gpu) => [gpu.utilization, device(gpu)]),
  ),
  gauge("gpu.memory.usage", "By", "Memory of a device in use.", (s) =>
    s.gpus.flatMap((gpu) => [
      [gpu.memoryUsedBytes, { ...device(gpu), "belay.gpu.user": "all" }] as const,
      [gpu.jobMemoryBytes, { ...device(gpu), "belay.gpu.user": "job" }] as const,
    ]),
  ),
  gauge("gpu.memory.limit", "By", "Memory that a device has.", (s) =>
    s.gpus.map((gpu) => [gpu.memoryTotalBytes, device(gpu)]),
  ),
  gauge("gpu.temperature", "Cel", "Temperature of a device.", (s) =>
    s.gpus.map((gpu) => [gpu.temperatureCelsius, device(gpu)]),
  ),
  gauge("gpu.power", "W", "Power that a device draws.", (s) => s.gpus.map((gpu) => [gpu.powerWatts, device(gpu)])),
];

function device(gpu: MetricSample["gpus"][number]): Attributes {
  return { "hw.id": gpu.uuid, "hw.name": gpu.name, "belay.gpu.index": gpu.index };
}
