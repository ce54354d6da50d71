import { formatSize } from "../../../contract/sizes.ts";
import type { GpuSample, MetricSample } from "../../../gen/belay/v1/job_pb.ts";
import type { ChartRow } from "./chart-table.ts";
import { msOfNano } from "./series.ts";
import type { Stretch } from "./over-time.ts";

/** What the job uses, as rows of a chart table: NOW, AVERAGE, PEAK. Unknown values have no row. */
export function usageRows(samples: readonly MetricSample[]): ChartRow[] {
  const last = samples.at(-1);
  if (last === undefined) return [];
  return [
    cpuRow(samples, last),
    memoryRow(samples, last),
    ...countRow("processes", samples, ({ processes }) => processes),
    ...countRow("threads", samples, ({ threads }) => threads),
    ...countRow("open files", samples, ({ openFiles }) => openFiles),
    ...rateRow("disk read", samples, ({ diskReadBytes }) => diskReadBytes),
    ...rateRow("disk written", samples, ({ diskWrittenBytes }) => diskWrittenBytes),
    ...rateRow("received", samples, ({ networkReceivedBytes }) => networkReceivedBytes),
    ...rateRow("sent", samples, ({ networkSentBytes }) => networkSentBytes),
    ...pressureRow("cpu wait", samples, ({ cpuPressure }) => cpuPressure),
    ...pressureRow("memory wait", samples, ({ memoryPressure }) => memoryPressure),
    ...pressureRow("io wait", samples, ({ ioPressure }) => ioPressure),
    // A sample without GPUs had no recent reading.
    ...(samples.findLast(({ gpus }) => gpus.length > 0)?.gpus ?? []).flatMap((gpu) => gpuRows(samples, gpu)),
  ];
}

function cpuRow(samples: readonly MetricSample[], last: MetricSample): ChartRow {
  const first = samples[0] ?? last;
  const seconds = Number(last.sampleUnixNano - first.sampleUnixNano) / 1e9;
  const average = seconds > 0 ? Math.max(0, (last.cpuSeconds - first.cpuSeconds) / seconds) : last.cpuCores;
  const peaks = samples.map(({ merged, cpuCores }) => merged?.peakCpuCores ?? cpuCores);
  // A sample at the same moment as the one before has no processor use: the last known one counts.
  const now = latest(samples.map(({ cpuCores }) => cpuCores));
  return {
    name: "cpu",
    // The average may be above every single sample, for example where the clock was set.
    cells: [now, average, greatest([...peaks, average])].map((value) => (value === undefined ? "" : value.toFixed(2))),
    note: last.cpuLimitCores > 0 ? `of ${cores(last.cpuLimitCores)}` : "",
    stretches: stretchesOf(samples, (_, i) => peaks[i]),
    ...(last.cpuLimitCores > 0 ? { max: last.cpuLimitCores } : {}),
  };
}

function cores(limit: number): string {
  return limit === 1 ? "1 core" : `${Number(limit.toFixed(2))} cores`;
}

function memoryRow(samples: readonly MetricSample[], last: MetricSample): ChartRow {
  const count = samples.reduce((sum, { merged }) => sum + Number(merged?.samples ?? 1), 0);
  const sum = samples.reduce(
    (all, { merged, memoryBytes }) =>
      all + (merged?.meanMemoryBytes ?? Number(memoryBytes)) * Number(merged?.samples ?? 1),
    0,
  );
  const values = samples.map(({ peakMemoryBytes, memoryBytes }) => Number(peakMemoryBytes ?? memoryBytes));
  const limit = Number(last.memoryLimitBytes);
  return {
    name: "memory",
    cells: [Number(last.memoryBytes), Math.round(sum / count), greatest(values) ?? 0].map(formatSize),
    note: limit > 0 ? `of ${formatSize(limit)}` : "",
    stretches: stretchesOf(samples, (_, i) => values[i]),
    ...(limit > 0 ? { max: limit } : {}),
  };
}

function countRow(
  name: string,
  samples: readonly MetricSample[],
  of: (sample: MetricSample) => number | undefined,
): ChartRow[] {
  const values = samples.map(of);
  const peak = greatest(values);
  if (peak === undefined) return [];
  const now = values.at(-1);
  return [
    {
      name,
      cells: [now === undefined ? "" : String(now), "", String(peak)],
      note: "",
      stretches: stretchesOf(samples, (_, i) => values[i]),
    },
  ];
}

/** A counter of bytes, as bytes per second and the sum. */
function rateRow(
  name: string,
  samples: readonly MetricSample[],
  of: (sample: MetricSample) => bigint | undefined,
): ChartRow[] {
  const counts = samples.map(of);
  const total = counts.findLast((count) => count !== undefined);
  if (total === undefined) return [];
  const rates = samples.map((sample, i) => rate(samples[i - 1], sample, of));
  const known = samples.filter((sample) => of(sample) !== undefined);
  const [first, last] = [known[0], known.at(-1)];
  const average = first === undefined || last === undefined ? undefined : rate(first, last, of);
  const cells = [rates.at(-1), average, greatest(rates)];
  return [
    {
      name,
      cells: cells.map((bytes) => (bytes === undefined ? "" : `${formatSize(Math.round(bytes))}/s`)),
      note: `${formatSize(total)} in all`,
      stretches: stretchesOf(samples, (_, i) => rates[i]),
    },
  ];
}

/** Bytes per second; undefined if a count or the time between is not known. */
function rate(
  from: MetricSample | undefined,
  to: MetricSample,
  of: (sample: MetricSample) => bigint | undefined,
): number | undefined {
  const [before, after] = [from === undefined ? undefined : of(from), of(to)];
  if (from === undefined || before === undefined || after === undefined) return undefined;
  const seconds = Number(to.sampleUnixNano - from.sampleUnixNano) / 1e9;
  return seconds > 0 ? Math.max(0, Number(after - before) / seconds) : undefined;
}

/** Shares of time; no row if there was no waiting. */
function pressureRow(
  name: string,
  samples: readonly MetricSample[],
  of: (sample: MetricSample) => number | undefined,
): ChartRow[] {
  return (greatest(samples.map(of)) ?? 0) < 0.005 ? [] : shareRow(name, samples, of);
}

function shareRow(
  name: string,
  samples: readonly MetricSample[],
  of: (sample: MetricSample) => number | undefined,
): ChartRow[] {
  const values = samples.map(of);
  const [now, peak] = [latest(values), greatest(values)];
  if (now === undefined || peak === undefined) return [];
  const cells = [`${Math.round(now * 100)} %`, "", `${Math.round(peak * 100)} %`];
  return [{ name, cells, note: "", stretches: stretchesOf(samples, (_, i) => values[i]), max: 1 }];
}

function gpuRows(samples: readonly MetricSample[], { index, uuid }: GpuSample): ChartRow[] {
  const of = (sample: MetricSample): GpuSample | undefined =>
    sample.gpus.find((gpu) => gpu.uuid === uuid && gpu.index === index);
  const seen = samples.map(of);
  const last = seen.findLast((gpu) => gpu !== undefined);
  if (last === undefined) return [];
  const name = `gpu ${index}`;
  const heat = last.temperatureCelsius === undefined ? [] : [`${Math.round(last.temperatureCelsius)} C`];
  const power = last.powerWatts === undefined ? [] : [`${Math.round(last.powerWatts)} W`];
  const note = [...heat, ...power].join(", ");
  const busy = shareRow(name, samples, (sample) => of(sample)?.utilization);
  return [
    ...(busy.length > 0 ? busy : [{ name, cells: ["", "", ""], stretches: [] }]).map((row) => ({ ...row, note })),
    ...gpuMemoryRow(name, samples, seen, last),
  ];
}

/** No row for a device that has no memory of its own. */
function gpuMemoryRow(
  name: string,
  samples: readonly MetricSample[],
  seen: readonly (GpuSample | undefined)[],
  { memoryUsedBytes, memoryTotalBytes }: GpuSample,
): ChartRow[] {
  if (memoryUsedBytes === 0n && memoryTotalBytes === 0n) return [];
  const used = seen.map((gpu) => (gpu === undefined ? undefined : Number(gpu.memoryUsedBytes)));
  return [
    {
      name: `${name} memory`,
      cells: [formatSize(memoryUsedBytes), "", formatSize(greatest(used) ?? 0)],
      note: memoryTotalBytes > 0n ? `of ${formatSize(memoryTotalBytes)}` : "",
      stretches: stretchesOf(samples, (_, i) => used[i]),
      ...(memoryTotalBytes > 0n ? { max: Number(memoryTotalBytes) } : {}),
    },
  ];
}

/** Each sample stands for the time since the previous one. */
function stretchesOf(
  samples: readonly MetricSample[],
  of: (sample: MetricSample, i: number) => number | undefined,
): Stretch[] {
  return samples.map((sample, i) => {
    const before = samples[i - 1] ?? sample;
    const first = sample.merged?.firstUnixNano ?? sample.sampleUnixNano;
    const from = before.sampleUnixNano < first ? before.sampleUnixNano : first;
    return { fromMs: msOfNano(from), toMs: msOfNano(sample.sampleUnixNano), value: of(sample, i) };
  });
}

function greatest(values: readonly (number | undefined)[]): number | undefined {
  return values.reduce(
    (most, value) => (value !== undefined && (most === undefined || value > most) ? value : most),
    undefined,
  );
}

/** The last known value. */
function latest(values: readonly (number | undefined)[]): number | undefined {
  return values.findLast((value) => value !== undefined);
}
