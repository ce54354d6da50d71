import { create } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import type { ReadMetricsRequest, ReadMetricsResponse } from "../../gen/belay/v1/job_service_pb.ts";
import { ReadMetricsResponseSchema } from "../../gen/belay/v1/job_service_pb.ts";
import type { Event } from "../../gen/belay/v1/tracker_service_pb.ts";
import { isOpen } from "../jobs/states.ts";
import type { MetricsQuery } from "../store/types.ts";
import type { ControlContext } from "./context.ts";
import { FollowedJob } from "./followed-job.ts";
import { CallScope } from "./wakeup.ts";

/** Records in one answer. */
const PAGE = 500;
const END_OF_TIME = 2n ** 63n - 1n;

/** Sends the metrics of an attempt. */
export async function* readMetrics(
  context: ControlContext,
  request: ReadMetricsRequest,
  signal: AbortSignal,
): AsyncGenerator<ReadMetricsResponse, void> {
  const { registry } = context;
  using scope = new CallScope(signal);
  const job = await FollowedJob.of(registry, request.jobId, scope, "samples");
  const latest = job.live.attempt?.attempt ?? 0;
  if (request.attempt > latest) {
    throw new ConnectError(
      `Job "${job.live.id}" has no attempt ${request.attempt}: the latest is ${latest}`,
      Code.NotFound,
    );
  }
  const query = {
    key: job.live.key,
    fromNano: request.startTime === undefined ? 0n : nano(request.startTime),
    toNano: request.endTime === undefined ? END_OF_TIME : nano(request.endTime),
    afterSequence: 0,
    limit: PAGE,
  };
  const attemptOf = (): number => (request.attempt === 0 ? (job.live.attempt?.attempt ?? 0) : request.attempt);
  let attempt = attemptOf();
  const stored = await registry.store.countMetrics({ ...query, attempt });
  const thin = thinner(stored, request.maxSamples);
  for (;;) {
    const last =
      !request.follow || (attempt > 0 && (attempt < (job.live.attempt?.attempt ?? 0) || !isOpen(job.live.job)));
    if (attempt === 0) attempt = attemptOf();
    for (;;) {
      const page: MetricsQuery = { ...query, attempt };
      const events = await registry.store.metrics(page);
      const kept = events.filter(thin);
      if (kept.length > 0) yield answer(kept);
      scope.check();
      if (events.length > 0) query.afterSequence = Number(events.at(-1)?.sequence);
      if (events.length < PAGE) break;
    }
    if (last || (attempt === 0 && !isOpen(job.live.job))) return;
    await job.next();
  }
}

/** Lets so many of the first `stored` records through, evenly, the last among them; and all that come later. */
function thinner(stored: number, wanted: number): () => boolean {
  let seen = 0;
  return () => {
    const i = seen++;
    if (wanted === 0 || stored <= wanted || i >= stored) return true;
    return Math.floor(((i + 1) * wanted) / stored) > Math.floor((i * wanted) / stored);
  };
}

function answer(events: readonly Event[]): ReadMetricsResponse {
  return create(ReadMetricsResponseSchema, {
    samples: events.flatMap(({ kind }) => (kind.case === "metricSample" ? [kind.value] : [])),
    jobMetrics: events.flatMap(({ kind }) => (kind.case === "jobMetrics" ? [kind.value] : [])),
  });
}

function nano(time: Timestamp): bigint {
  const value = time.seconds * 1_000_000_000n + BigInt(time.nanos);
  return value < 0n ? 0n : value;
}
