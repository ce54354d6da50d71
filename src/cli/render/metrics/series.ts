import type { MetricSample } from "../../../gen/belay/v1/job_pb.ts";
import type { ReadMetricsResponse } from "../../../gen/belay/v1/job_service_pb.ts";
import { mergeSamples } from "../../../contract/merge-samples.ts";
import type { ProgressPoint } from "../time-left.ts";

/** A value of one of the job's own metrics. */
export interface Point {
  readonly atMs: number;
  readonly value: number;
  /** Position on the job's own axis. */
  readonly step: number | undefined;
}

/** One of the job's own metrics. */
export interface Named {
  readonly name: string;
  /** In order. If there were many, only the least and the greatest of neighbours. */
  points: Point[];
  last: Point;
  /** Over all values seen that are not NaN; without such a value, min is +Infinity and max is -Infinity. */
  min: number;
  max: number;
}

/** Neighbours are merged when a series has more points than this. */
const MOST = 4000;

/**
 * The metrics of an attempt, in bounded memory, however long it is followed: if a series has too many points,
 * neighbours are merged, and peaks are kept.
 */
export class Series {
  /** In order of time. */
  samples: MetricSample[] = [];
  readonly named: Map<string, Named> = new Map();
  progress: ProgressPoint[] = [];
  /** The latest note on the job's progress. */
  note = "";
  /** How many values the tracker did not keep because there were too many names. */
  unkeptValues = 0n;
  /** Time of the newest sample or record, by the agent's clock, in milliseconds. */
  newestMs = 0;
  private readonly most: number;
  private readonly wants: (name: string) => boolean;

  /** @param wants whether to keep the own metric with this name */
  constructor(wants: (name: string) => boolean = () => true, most: number = MOST) {
    this.wants = wants;
    this.most = most;
  }

  /** How many samples were taken, including merged ones. */
  get taken(): bigint {
    return this.samples.reduce((sum, { merged }) => sum + (merged?.samples ?? 1n), 0n);
  }

  push(answer: ReadMetricsResponse): void {
    this.unkeptValues += answer.unkeptValues;
    for (const sample of answer.samples) {
      this.samples.push(sample);
      this.newestMs = Math.max(this.newestMs, msOfNano(sample.sampleUnixNano));
      if (this.samples.length > this.most) this.samples = mergePairs(this.samples);
    }
    for (const { readUnixNano, metrics, progress } of answer.jobMetrics) {
      const atMs = msOfNano(readUnixNano);
      this.newestMs = Math.max(this.newestMs, atMs);
      for (const { name, value, step } of metrics) if (this.wants(name)) this.add(name, { atMs, value, step });
      if (progress === undefined) continue;
      this.note = progress.note;
      this.progress.push({ atMs: msOfNano(progress.readUnixNano) || atMs, fraction: progress.fraction });
      if (this.progress.length > this.most) this.progress = this.progress.filter((_, i) => i % 2 === 0);
    }
  }

  private add(name: string, point: Point): void {
    let named = this.named.get(name);
    if (named === undefined) {
      named = { name, points: [], last: point, min: Number.POSITIVE_INFINITY, max: Number.NEGATIVE_INFINITY };
      this.named.set(name, named);
    }
    named.points.push(point);
    named.last = point;
    if (!Number.isNaN(point.value)) {
      named.min = Math.min(named.min, point.value);
      named.max = Math.max(named.max, point.value);
    }
    if (named.points.length > this.most) named.points = extremes(named.points);
  }
}

/** Milliseconds of a time in nanoseconds. */
export function msOfNano(nano: bigint): number {
  return Number(nano / 1000n) / 1000;
}

function mergePairs(samples: readonly MetricSample[]): MetricSample[] {
  const merged: MetricSample[] = [];
  for (let at = 0; at < samples.length; at += 2) merged.push(mergeSamples(samples.slice(at, at + 2), merged.at(-1)));
  return merged;
}

/** The least and the greatest of each four neighbours. */
function extremes(points: readonly Point[]): Point[] {
  const kept: Point[] = [];
  for (let at = 0; at < points.length; at += 4) {
    const group = points.slice(at, at + 4);
    const least = group.reduce((found, point) => (point.value < found.value ? point : found));
    const greatest = group.reduce((found, point) => (point.value > found.value ? point : found));
    kept.push(...group.filter((point) => point === least || point === greatest));
  }
  return kept;
}
