import { ValueType } from "@opentelemetry/api";
import type { Resource } from "@opentelemetry/resources";
import type { CollectionResult, DataPoint, MetricData, MetricProducer } from "@opentelemetry/sdk-metrics";
import { AggregationTemporality, DataPointType } from "@opentelemetry/sdk-metrics";
import type { LiveJob } from "../jobs/live-job.ts";
import { shownOf } from "../jobs/shown/shown.ts";
import { jobIdentity, jobLabels } from "./attributes.ts";
import type { JobValues } from "./job-values.ts";
import { SCOPE } from "./readable-span.ts";
import type { Attributes, Time } from "./span-record.ts";
import { timeOf, timeOfNano } from "./span-record.ts";
import type { UsageMetric } from "./usage-table.ts";
import { USAGE_METRICS } from "./usage-table.ts";

type Point = DataPoint<number>;

/**
 * Gives the SDK's reader what running jobs use.
 *
 * Observable instruments do not work here: they report each set of attributes for ever, so that a tracker would report
 * every job that it ever had.
 */
export class UsageProducer implements MetricProducer {
  private readonly values: JobValues;
  private readonly inMemory: () => Iterable<LiveJob>;
  private readonly resource: Resource;

  constructor(values: JobValues, inMemory: () => Iterable<LiveJob>, resource: Resource) {
    this.values = values;
    this.inMemory = inMemory;
    this.resource = resource;
  }

  collect(): Promise<CollectionResult> {
    const points = new Map<UsageMetric, Point[]>();
    const own: Point[] = [];
    const progress: Point[] = [];
    for (const live of this.values.next(this.inMemory())) {
      const { attempt } = live;
      if (attempt === undefined) continue;
      const shown = shownOf(live.job);
      const job = { ...live.job, spec: shown.spec };
      const attributes = { ...jobIdentity(job), ...jobLabels(job), "belay.attempt": attempt.attempt };
      const start = attempt.createTime === undefined ? ([0, 0] satisfies Time) : timeOf(attempt.createTime);
      if (attempt.metrics !== undefined) {
        const end = timeOfNano(attempt.metrics.sampleUnixNano);
        for (const metric of USAGE_METRICS) {
          for (const [value, more] of metric.read(attempt.metrics)) {
            if (value === undefined) continue;
            let list = points.get(metric);
            if (list === undefined) points.set(metric, (list = []));
            list.push(point(start, end, { ...attributes, ...more }, Number(value)));
          }
        }
      }
      for (const [name, { value, unixNano }] of this.values.ownOf(live)) {
        own.push(
          point(start, timeOfNano(unixNano), { ...attributes, "belay.job.metric.name": shown.text(name) }, value),
        );
      }
      if (attempt.progress !== undefined) {
        const { fraction, readUnixNano } = attempt.progress;
        progress.push(point(start, timeOfNano(readUnixNano), attributes, fraction));
      }
    }
    this.values.forget();
    const metrics = [...points].map(([metric, list]) => metricData(metric, list));
    if (own.length > 0) metrics.push(metricData(OWN, own));
    if (progress.length > 0) metrics.push(metricData(PROGRESS, progress));
    const scopeMetrics = metrics.length === 0 ? [] : [{ scope: SCOPE, metrics }];
    return Promise.resolve({ resourceMetrics: { resource: this.resource, scopeMetrics }, errors: [] });
  }
}

type Description = Pick<UsageMetric, "name" | "unit" | "description" | "counts">;

const OWN: Description = {
  name: "belay.job.metric",
  unit: "",
  description: "Latest value of a metric that the job itself reports.",
  counts: false,
};
const PROGRESS: Description = {
  name: "belay.job.progress",
  unit: "1",
  description: "Progress that the job reports, 0 to 1.",
  counts: false,
};

function metricData({ name, unit, description, counts }: Description, dataPoints: Point[]): MetricData {
  const common = {
    descriptor: { name, unit, description, valueType: ValueType.DOUBLE },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
    dataPoints,
  };
  return counts
    ? { ...common, dataPointType: DataPointType.SUM, isMonotonic: true }
    : { ...common, dataPointType: DataPointType.GAUGE };
}

function point(startTime: Time, endTime: Time, attributes: Attributes, value: number): Point {
  return { startTime, endTime, attributes, value };
}
