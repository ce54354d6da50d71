import { create } from "@bufbuild/protobuf";
import type { MetricSample } from "../../../gen/belay/v1/job_pb.ts";
import type { Event } from "../../../gen/belay/v1/tracker_service_pb.ts";
import { EventSchema } from "../../../gen/belay/v1/tracker_service_pb.ts";
import { mergeJobMetrics } from "./merge-job-metrics.ts";
import { mergeSamples } from "../../../contract/merge-samples.ts";

/** What a series is of. The numbers are stored. */
export const SeriesKind = { USAGE: 1, SAID: 2 } as const;
/** See above. */
export type SeriesKind = (typeof SeriesKind)[keyof typeof SeriesKind];

/** The series that an event belongs to; undefined: none. */
export function seriesOf({ kind }: Event): SeriesKind | undefined {
  if (kind.case === "metricSample") return SeriesKind.USAGE;
  return kind.case === "jobMetrics" ? SeriesKind.SAID : undefined;
}

/** When it was taken, in nanoseconds since the Unix epoch. */
export function timeOf({ kind }: Event): bigint {
  if (kind.case === "metricSample") return kind.value.sampleUnixNano;
  return kind.case === "jobMetrics" ? kind.value.readUnixNano : 0n;
}

/** What an event says the job uses. */
export function sampleOf(event: Event | undefined): MetricSample | undefined {
  return event?.kind.case === "metricSample" ? event.kind.value : undefined;
}

/**
 * One event for neighbours of one series, oldest first, with the number of the last.
 *
 * @param group at least one
 * @param before the event before the first; undefined: there is none, or it is not known
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
  const said = group.flatMap(({ kind }) => (kind.case === "jobMetrics" ? [kind.value] : []));
  return create(EventSchema, { ...last, kind: { case: "jobMetrics", value: mergeJobMetrics(said) } });
}
