import { create } from "@bufbuild/protobuf";
import type { JobMetric, JobMetrics } from "../../../gen/belay/v1/job_pb.ts";
import { JobMetricsSchema, MergedJobMetricsSchema } from "../../../gen/belay/v1/job_pb.ts";

/**
 * Merges neighbouring records of a job's own metrics, oldest first, into one.
 *
 * Law: the result has at most five values of each name: the first, the least, the greatest, the last and the first NaN,
 * in the order in which they were written. These five do not depend on how records are grouped for merging.
 *
 * @param group at least one record
 */
export function mergeJobMetrics(group: readonly JobMetrics[]): JobMetrics {
  const first = group[0];
  const last = group.at(-1);
  if (first === undefined || last === undefined) throw new Error("No record to merge");
  if (group.length === 1) return last;
  const progress = group.findLast((record) => record.progress !== undefined)?.progress;
  return create(JobMetricsSchema, {
    ...last,
    metrics: significant(group.flatMap(({ metrics }) => metrics)),
    ...(progress === undefined ? {} : { progress }),
    merged: create(MergedJobMetricsSchema, {
      records: group.reduce((sum, { merged }) => sum + (merged?.records ?? 1n), 0n),
      firstUnixNano: first.merged?.firstUnixNano ?? first.readUnixNano,
      values: group.reduce((sum, { merged, metrics }) => sum + (merged?.values ?? BigInt(metrics.length)), 0n),
    }),
  });
}

interface Seen {
  readonly first: number;
  least: number | undefined;
  greatest: number | undefined;
  noNumber: number | undefined;
  last: number;
}

/** The values to keep of each name: see the law of `mergeJobMetrics`. */
export function significant(metrics: readonly JobMetric[]): JobMetric[] {
  const byName = new Map<string, Seen>();
  for (const [at, { name, value }] of metrics.entries()) {
    let seen = byName.get(name);
    if (seen === undefined) {
      seen = { first: at, least: undefined, greatest: undefined, noNumber: undefined, last: at };
      byName.set(name, seen);
    }
    seen.last = at;
    if (Number.isNaN(value)) seen.noNumber ??= at;
    else {
      if (seen.least === undefined || value < (metrics[seen.least]?.value ?? value)) seen.least = at;
      if (seen.greatest === undefined || value > (metrics[seen.greatest]?.value ?? value)) seen.greatest = at;
    }
  }
  const kept = new Set<number | undefined>();
  for (const { first, least, greatest, noNumber, last } of byName.values()) {
    for (const at of [first, least, greatest, noNumber, last]) kept.add(at);
  }
  return metrics.filter((_, at) => kept.has(at));
}
