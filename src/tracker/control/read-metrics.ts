import type { MessageInitShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";

import { setImmediate as turn } from "node:timers/promises";
import type { JobMetrics } from "../../gen/belay/v1/job_pb.ts";
import type { ReadMetricsRequest, ReadMetricsResponse } from "../../gen/belay/v1/job_service_pb.ts";
import { ReadMetricsResponseSchema } from "../../gen/belay/v1/job_service_pb.ts";
import type { Event } from "../../gen/belay/v1/tracker_service_pb.ts";
import type { LiveJob } from "../jobs/live-job.ts";
import { shownOf } from "../jobs/shown/shown.ts";
import { isOpen } from "../jobs/states.ts";
import { unpackEvent } from "../store/points/body.ts";
import type { Points } from "../store/points/sql-points.ts";
import { Thinner } from "../store/points/thinner.ts";
import { isLogClosed } from "../store/rows.ts";
import type { ControlContext } from "./context.ts";
import { noSuchAttempt } from "./context.ts";
import { FollowedJob } from "./followed-job.ts";
import { Keepalive } from "../../base/network/keepalive.ts";
import { CallScope } from "../../base/wakeup.ts";

/** Points of each kind that are decoded for one answer. */
const PAGE = 64;
/** Values of the job's own metrics in one answer: with names of 128 bytes, they stay well below 3 MiB. */
const MOST_VALUES = 8192;
const END_OF_TIME = 2n ** 63n - 1n;

/**
 * Sends the metrics of an attempt.
 *
 * Law: each sample is in one of the points that are sent, and points come in order. The points that are stored at first
 * are read at one moment. A follower then continues from the newest sequence. Meanwhile points are merged, but only the
 * oldest of a thousand. A follower that falls behind that far gets merged points, of which the first may include
 * samples that it has had.
 */
export async function* readMetrics(
  context: ControlContext,
  request: ReadMetricsRequest,
  signal: AbortSignal,
): AsyncGenerator<ReadMetricsResponse, void> {
  const { store, clock } = context;
  using scope = new CallScope(signal);
  const job = await FollowedJob.of(context, request.jobId, scope, "samples");
  const latest = job.live.attempt?.attempt ?? 0;
  if (request.attempt > latest) throw noSuchAttempt(job.live, request.attempt);
  const query = {
    key: job.live.key,
    fromNano: request.startTime === undefined ? 0n : nano(request.startTime),
    toNano: request.endTime === undefined ? END_OF_TIME : nano(request.endTime),
    afterSequence: 0,
  };
  const attemptOf = (): number => (request.attempt === 0 ? (job.live.attempt?.attempt ?? 0) : request.attempt);
  let attempt = attemptOf();
  let wanted = request.maxSamples;
  const keepalive = new Keepalive(clock, context.keepaliveInterval);
  for (;;) {
    // Asked before reading: what is stored when the attempt is over is all of it.
    const last = !request.follow || isOver(job.live, attempt);
    if (attempt === 0) attempt = attemptOf();
    const first = query.afterSequence === 0;
    const points = await store.metrics({ ...query, attempt });
    for (const answer of answers(points, wanted, first)) {
      if (answer.samples.length + answer.jobMetrics.length > 0) {
        yield shownOf(job.live.job).message(ReadMetricsResponseSchema, answer);
        keepalive.sent();
      }
      // Decoding the metrics of a long job takes a second: other calls get their turn meanwhile.
      await turn();
      scope.check();
    }
    if (points.lastSequence > 0) wanted = 0;
    query.afterSequence = points.lastSequence;
    if (last || (attempt === 0 && !isOpen(job.live.job))) return;
    await job.next(keepalive);
    if (!keepalive.isDue) continue;
    yield create(ReadMetricsResponseSchema);
    keepalive.sent();
  }
}

/** Whether no more metrics come from an attempt. It may not have begun: then they do. */
function isOver(live: LiveJob, number: number): boolean {
  const attempt = live.job.attempts.find((candidate) => candidate.attempt === number);
  return attempt !== undefined && isLogClosed(attempt);
}

/** At least one answer for each page; it may be empty. @param wanted most points of each kind. 0: all */
function* answers(points: Points, wanted: number, first: boolean): Generator<ReadMetricsResponse, void> {
  const usage = new Thinner(points.usage.length, wanted, endsOf(points.usage));
  const own = new Thinner(points.own.length, wanted, endsOf(points.own));
  let unkeptValues = first ? BigInt(points.unkeptValues) : 0n;
  const longest = Math.max(points.usage.length, points.own.length);
  for (let at = 0; at < longest; at += PAGE) {
    const isLast = at + PAGE >= longest;
    const take = (bodies: readonly Uint8Array[], thinner: Thinner): Event[] => [
      ...bodies.slice(at, at + PAGE).flatMap((body) => thinner.push(unpackEvent(body))),
      ...(isLast ? thinner.end() : []),
    ];
    const answer = {
      samples: take(points.usage, usage).flatMap(({ kind }) => (kind.case === "metricSample" ? [kind.value] : [])),
      jobMetrics: take(points.own, own).flatMap(({ kind }) => (kind.case === "jobMetrics" ? [kind.value] : [])),
      unkeptValues,
    } satisfies MessageInitShape<typeof ReadMetricsResponseSchema>;
    if (answer.samples.length + answer.jobMetrics.length > 0) unkeptValues = 0n;
    let rest = answer;
    for (let count = fitting(rest.jobMetrics); count < rest.jobMetrics.length; count = fitting(rest.jobMetrics)) {
      yield create(ReadMetricsResponseSchema, { ...rest, jobMetrics: rest.jobMetrics.slice(0, count) });
      rest = { samples: [], jobMetrics: rest.jobMetrics.slice(count), unkeptValues: 0n };
    }
    yield create(ReadMetricsResponseSchema, rest);
  }
}

/** How many of these points are few enough for one answer; one always is. */
function fitting(points: readonly JobMetrics[]): number {
  let values = 0;
  const first = points.findIndex(({ metrics }, i) => (values += metrics.length) > MOST_VALUES && i > 0);
  return first === -1 ? points.length : first;
}

function endsOf(bodies: readonly Uint8Array[]): readonly Event[] {
  return [bodies[0], bodies.at(-1)].flatMap((body) => (body === undefined ? [] : [unpackEvent(body)]));
}

function nano(time: Timestamp): bigint {
  const value = time.seconds * 1_000_000_000n + BigInt(time.nanos);
  return value < 0n ? 0n : value;
}
