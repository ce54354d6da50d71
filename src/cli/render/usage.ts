import { formatSize } from "../../contract/sizes.ts";
import type { GpuSample, MetricSample, ResourceUsage } from "../../gen/belay/v1/job_pb.ts";
import { clean } from "./clean.ts";
import { counted } from "../../base/text/count.ts";

/** `cpu 0.52 of 2 cores (4.1 s), memory 34.0 MiB, 3 processes, disk 0 B read and 20.0 MiB written`. */
export function metricsText(sample: MetricSample): string {
  const cores = sample.cpuCores === undefined ? "-" : sample.cpuCores.toFixed(2);
  const limit = sample.cpuLimitCores > 0 ? ` of ${Number(sample.cpuLimitCores.toFixed(2))}` : "";
  const memoryLimit = sample.memoryLimitBytes > 0n ? ` of ${formatSize(sample.memoryLimitBytes)}` : "";
  const processes = counted(sample.processes, "process", "processes");
  const cpu = `cpu ${cores}${limit} cores (${sample.cpuSeconds.toFixed(1)} s)`;
  return [`${cpu}, memory ${formatSize(sample.memoryBytes)}${memoryLimit}, ${processes}`, ...trafficTexts(sample)].join(
    ", ",
  );
}

/** One line for each graphics processor: `gpu 0 NVIDIA H100: 93 %, 41 GiB of 80 GiB (job 40 GiB), 61 °C, 412 W`. */
export function gpuFacts(gpus: readonly GpuSample[]): [string, string][] {
  return gpus.map((gpu) => {
    const job = gpu.jobMemoryBytes === undefined ? "" : ` (job ${formatSize(gpu.jobMemoryBytes)})`;
    const total = gpu.memoryTotalBytes;
    const parts = [
      gpu.utilization === undefined ? "" : `${Math.round(gpu.utilization * 100)} %`,
      total === 0n ? "" : `${formatSize(gpu.memoryUsedBytes)} of ${formatSize(total)}${job}`,
      gpu.temperatureCelsius === undefined ? "" : `${Math.round(gpu.temperatureCelsius)} °C`,
      gpu.powerWatts === undefined ? "" : `${Math.round(gpu.powerWatts)} W`,
    ].filter((part) => part !== "");
    return [`GPU ${gpu.index}`, [clean(gpu.name), parts.join(", ")].filter((text) => text !== "").join(": ")];
  });
}

/** `disk 1.0 MiB read and 20.0 MiB written`, and the same for the network, as far as known. */
function trafficTexts(counted: MetricSample | ResourceUsage): string[] {
  const { diskReadBytes, diskWrittenBytes, networkReceivedBytes, networkSentBytes } = counted;
  const pair = (
    what: string,
    first: bigint | undefined,
    firstVerb: string,
    second: bigint | undefined,
    secondVerb: string,
  ): string =>
    first === undefined || second === undefined || first + second === 0n
      ? ""
      : `${what} ${formatSize(first)} ${firstVerb} and ${formatSize(second)} ${secondVerb}`;
  return [
    pair("disk", diskReadBytes, "read", diskWrittenBytes, "written"),
    pair("network", networkReceivedBytes, "received", networkSentBytes, "sent"),
  ].filter((text) => text !== "");
}

/** `4.10 s of processor, 34.0 MiB at most, disk 0 B read and 20.0 MiB written`. */
export function usageText(usage: ResourceUsage): string {
  const gpu = usage.peakGpuMemoryBytes ?? 0n;
  return [
    `${usage.cpuSeconds.toFixed(2)} s of processor`,
    `${formatSize(usage.peakMemoryBytes)} at most${usage.exact ? "" : " (sampled)"}`,
    ...trafficTexts(usage),
    ...(gpu === 0n ? [] : [`${formatSize(gpu)} of GPU memory at most`]),
  ].join(", ");
}
