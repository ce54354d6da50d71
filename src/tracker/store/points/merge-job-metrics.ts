import { create } from "@bufbuild/protobuf";
import type { JobMetric, JobMetrics } from "../../../gen/belay/v1/job_pb.ts";
import { JobMetricsSchema, MergedJobMetricsSchema } from "../../../gen/belay/v1/job_pb.ts";

/**
 * One record of a job's own metrics for neighbours, oldest first.
 *
 * Law: of each name it holds at most five values: the first, the least, the greatest, the last, and the first that is
 * no number; in the order in which they were written. Those stay what they were, whatever is merged with whatever.
 *
 * @param group at least one
 */
export function mergeJobMetrics(group: readonly JobMetrics[]): JobMetrics {
  const first = group[0];
  const last = group.at(-1);
  if (first === undefined || last === undefined) throw new Error("No record to merge");
  if (group.length === 1) return last;
  const progress = group.findLast((record) => record.progress !== undefined)?.progress;
  return create(JobMetricsSchema, {
    ...last,
    metrics: telling(group.flatMap(({ metrics }) => metrics)),
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

/** The values that tell most: see the law of `mergeJobMetrics`. */
export function telling(metrics: readonly JobMetric[]): JobMetric[] {
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
