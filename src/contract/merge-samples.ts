import { create } from "@bufbuild/protobuf";
import type { GpuSample, MetricSample } from "../gen/belay/v1/job_pb.ts";
import { GpuSampleSchema, MergedSamplesSchema, MetricSampleSchema } from "../gen/belay/v1/job_pb.ts";

/** Most graphics processors in one merged sample: more than any machine has. */
const MAX_GPUS = 64;

/** The fields of the sample before the first that the average processor use needs. */
export type SampleBefore = Pick<MetricSample, "sampleUnixNano" | "cpuSeconds">;

/**
 * Merges neighbouring samples, oldest first, into one.
 *
 * Law: the greatest memory, the last counters, the number of samples and the times of the first and the last do not
 * depend on how samples are grouped for merging.
 *
 * @param group at least one sample
 * @param before the sample before the first; undefined: the first begins the series, or the sample is not known
 */
export function mergeSamples(group: readonly MetricSample[], before?: SampleBefore): MetricSample {
  const first = group[0];
  const last = group.at(-1);
  if (first === undefined || last === undefined) throw new Error("No sample to merge");
  if (group.length === 1) return last;
  const cpuCores = averageCores(group, before);
  const samples = group.reduce((sum, sample) => sum + countOf(sample), 0n);
  const memory = group.reduce((sum, sample) => sum + Number(countOf(sample)) * meanMemory(sample), 0);
  const merged = create(MetricSampleSchema, {
    ...last,
    memoryBytes: greatest(group.map(({ memoryBytes }) => memoryBytes)) ?? 0n,
    processes: Math.max(...group.map(({ processes }) => processes)),
    exact: group.every(({ exact }) => exact),
    gpus: mergeGpus(group),
    merged: create(MergedSamplesSchema, {
      samples,
      firstUnixNano: first.merged?.firstUnixNano ?? first.sampleUnixNano,
      peakCpuCores: Math.max(...group.map((sample) => sample.merged?.peakCpuCores ?? sample.cpuCores ?? 0)),
      meanMemoryBytes: memory / Number(samples),
    }),
  });
  assign(merged, "cpuCores", cpuCores);
  for (const field of GREATEST) assign(merged, field, greatest(group.map((sample) => sample[field])));
  for (const field of COUNTERS) assign(merged, field, group.findLast((sample) => sample[field] !== undefined)?.[field]);
  return merged;
}

const GREATEST = ["peakMemoryBytes", "threads", "openFiles", "cpuPressure", "memoryPressure", "ioPressure"] as const;
const COUNTERS = ["diskReadBytes", "diskWrittenBytes", "networkReceivedBytes", "networkSentBytes"] as const;
const GPU_GREATEST = ["utilization", "temperatureCelsius", "powerWatts"] as const;

function countOf(sample: MetricSample): bigint {
  return sample.merged?.samples ?? 1n;
}

function meanMemory(sample: MetricSample): number {
  return sample.merged?.meanMemoryBytes ?? Number(sample.memoryBytes);
}

/** Computed from the counter of processor seconds, so that it is exact over the whole span. */
function averageCores(group: readonly MetricSample[], before: SampleBefore | undefined): number | undefined {
  const last = group.at(-1);
  const from = before ?? group[0];
  if (last === undefined || from === undefined) return undefined;
  const seconds = Number(last.sampleUnixNano - from.sampleUnixNano) / 1e9;
  // The clock was set back, so the length of the span is not known.
  if (seconds <= 0) return last.cpuCores;
  return Math.max(0, (last.cpuSeconds - from.cpuSeconds) / seconds);
}

function mergeGpus(group: readonly MetricSample[]): GpuSample[] {
  const byDevice = new Map<string, GpuSample[]>();
  for (const { gpus } of group) {
    for (const gpu of gpus) {
      const device = gpu.uuid === "" ? String(gpu.index) : gpu.uuid;
      const seen = byDevice.get(device);
      if (seen !== undefined) seen.push(gpu);
      else if (byDevice.size < MAX_GPUS) byDevice.set(device, [gpu]);
    }
  }
  return [...byDevice.values()].map(mergeGpu);
}

function mergeGpu(seen: readonly GpuSample[]): GpuSample {
  const memoryUsedBytes = greatest(seen.map((gpu) => gpu.memoryUsedBytes)) ?? 0n;
  const merged = { ...(seen.at(-1) ?? create(GpuSampleSchema)), memoryUsedBytes };
  assign(merged, "jobMemoryBytes", greatest(seen.map((gpu) => gpu.jobMemoryBytes)));
  for (const field of GPU_GREATEST) assign(merged, field, greatest(seen.map((gpu) => gpu[field])));
  return merged;
}

/** The greatest of the known values. */
function greatest<T extends number | bigint>(values: readonly (T | undefined)[]): T | undefined {
  let most: T | undefined;
  for (const value of values) if (value !== undefined && (most === undefined || value > most)) most = value;
  return most;
}

/** Sets an optional field of a message, or deletes it: it may be absent, but never undefined. */
function assign<M, K extends keyof M>(message: M, field: K, value: M[K] | undefined): void {
  if (value === undefined) delete message[field];
  else message[field] = value;
}
