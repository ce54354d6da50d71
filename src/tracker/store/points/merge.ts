import { create } from "@bufbuild/protobuf";
import type { MetricSample } from "../../../gen/belay/v1/job_pb.ts";
import type { Event } from "../../../gen/belay/v1/tracker_service_pb.ts";
import { EventSchema } from "../../../gen/belay/v1/tracker_service_pb.ts";
import { mergeJobMetrics } from "./merge-job-metrics.ts";
import { mergeSamples } from "../../../contract/merge-samples.ts";

/** The content of a series: what the job uses, or its own metrics. The numbers are stored. */
export const SeriesKind = { USAGE: 1, OWN: 2 } as const;
/** See above. */
export type SeriesKind = (typeof SeriesKind)[keyof typeof SeriesKind];

/** The series that an event belongs to; undefined: it belongs to no series. */
export function seriesOf({ kind }: Event): SeriesKind | undefined {
  if (kind.case === "metricSample") return SeriesKind.USAGE;
  return kind.case === "jobMetrics" ? SeriesKind.OWN : undefined;
}

/** The time of the sample or record, in nanoseconds since the Unix epoch. */
export function nanoOf({ kind }: Event): bigint {
  if (kind.case === "metricSample") return kind.value.sampleUnixNano;
  return kind.case === "jobMetrics" ? kind.value.readUnixNano : 0n;
}

/** The sample of an event, if it has one. */
export function sampleOf(event: Event | undefined): MetricSample | undefined {
  return event?.kind.case === "metricSample" ? event.kind.value : undefined;
}

/**
 * Merges neighbouring events of one series, oldest first, into one with the sequence of the last.
 *
 * @param group at least one event
 * @param before the event before the first; undefined: the first begins the series, or the event is not known
 */
export function mergeEvents(group: readonly Event[], before?: Event): Event {
  const last = group.at(-1);
  if (last === undefined) throw new Error("No event to merge");
  if (group.length === 1) return last;
  if (last.kind.case === "metricSample") {
    const value = mergeSamples(
      group.map(sampleOf).filter((sample) => sample !== undefined),
      sampleOf(before),
    );
    return create(EventSchema, { ...last, kind: { case: "metricSample", value } });
  }
  const records = group.flatMap(({ kind }) => (kind.case === "jobMetrics" ? [kind.value] : []));
  return create(EventSchema, { ...last, kind: { case: "jobMetrics", value: mergeJobMetrics(records) } });
}
