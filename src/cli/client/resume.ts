import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Job } from "../../gen/belay/v1/job_pb.ts";
import type {
  JobFilterSchema,
  ReadLogsRequestSchema,
  ReadLogsResponse,
  ReadMetricsRequestSchema,
  ReadMetricsResponse,
  WatchJobsResponse,
} from "../../gen/belay/v1/job_service_pb.ts";
import type { FollowOptions, JobClient } from "./client.ts";
import { isEnded } from "../../contract/states.ts";

/** A job as it is now, and again after every change, up to its end; continues after lost connections. */
export async function* watchJob(
  client: JobClient,
  jobId: string,
  options: FollowOptions = {},
): AsyncGenerator<Job, void, undefined> {
  let afterVersion = 0n;
  let ended = false;
  yield* client.follow(async function* (jobs, call) {
    for await (const { job } of jobs.watchJob({ jobId, afterVersion }, call)) {
      if (job === undefined) continue;
      afterVersion = job.version;
      ended = isEnded(job.state);
      yield job;
    }
    // A tracker that stops may end its streams cleanly.
    if (!ended) throw new ConnectError("the tracker ended the stream", Code.Unavailable);
  }, options);
}

/** See watchJobs. */
export type JobsChange = WatchJobsResponse | "snapshot";

/**
 * Jobs as they are and as they change, without end, across lost connections. `snapshot` comes before all matching jobs
 * (up to `synced`): at the start, and again if the tracker no longer knows what has changed since the last
 * connection.
 */
export async function* watchJobs(
  client: JobClient,
  filter: MessageInitShape<typeof JobFilterSchema>,
  options: FollowOptions = {},
): AsyncGenerator<JobsChange, void, undefined> {
  let afterVersion = 0n;
  yield* client.follow(async function* (jobs, call): AsyncGenerator<JobsChange, void> {
    // `snapshot` is yielded only with the first answer.
    let isFirst = afterVersion === 0n;
    try {
      for await (const answer of jobs.watchJobs({ filter, afterVersion }, call)) {
        if (answer.version > 0n) afterVersion = answer.version;
        // Only a keepalive.
        if (answer.change.case === undefined) continue;
        if (isFirst) yield "snapshot";
        isFirst = false;
        yield answer;
      }
    } catch (error) {
      if (error instanceof ConnectError && error.code === Code.Aborted) afterVersion = 0n;
      throw error;
    }
    // A tracker that stops may end its streams cleanly.
    throw new ConnectError("the tracker ended the stream", Code.Unavailable);
  }, options);
}

/** Waits for a job's end. @returns the ended job */
export async function waitForEnd(client: JobClient, jobId: string): Promise<Job> {
  for await (const job of watchJob(client, jobId)) {
    if (isEnded(job.state)) return job;
  }
  throw new ConnectError("the job's stream ended before the job", Code.Internal);
}

/** A job's log across lost connections: continues at the position after the last answer. */
export function readLogs(
  client: JobClient,
  request: Exclude<MessageInitShape<typeof ReadLogsRequestSchema>, { $typeName: string }>,
  options: FollowOptions = {},
): AsyncGenerator<ReadLogsResponse, void, undefined> {
  let next = request;
  return client.follow(async function* (jobs, call) {
    for await (const answer of jobs.readLogs(next, call)) {
      // Only a keepalive, while there is no attempt.
      if (answer.attempt === 0) continue;
      yield answer;
      // The call continues to follow the attempt with which it began.
      const start = { case: "fromPosition", value: answer.nextPosition } as const;
      next = { ...request, attempt: answer.attempt, start };
    }
  }, options);
}

/** A job's metrics; continues after lost connections, and yields nothing twice. */
export function readMetrics(
  client: JobClient,
  request: Exclude<MessageInitShape<typeof ReadMetricsRequestSchema>, { $typeName: string }>,
): AsyncGenerator<ReadMetricsResponse, void, undefined> {
  const seen = { sample: -1n, record: -1n };
  let next = request;
  return client.follow(async function* (jobs, call) {
    const had = { ...seen };
    for await (const answer of jobs.readMetrics(next, call)) {
      // Only a keepalive.
      if (answer.samples.length + answer.jobMetrics.length === 0) continue;
      answer.samples = answer.samples.filter(({ sampleUnixNano }) => sampleUnixNano > had.sample);
      answer.jobMetrics = answer.jobMetrics.filter(({ readUnixNano }) => readUnixNano > had.record);
      for (const { sampleUnixNano } of answer.samples) seen.sample = larger(seen.sample, sampleUnixNano);
      for (const { readUnixNano } of answer.jobMetrics) seen.record = larger(seen.record, readUnixNano);
      if (had.sample >= 0n || had.record >= 0n) answer.unkeptValues = 0n;
      // Samples after a lost connection are not merged: earlier ones, which were merged, have been yielded.
      next = { ...request, maxSamples: 0 };
      yield answer;
    }
  });
}

function larger(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
