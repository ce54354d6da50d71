import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Job } from "../../gen/belay/v1/job_pb.ts";
import type {
  ReadLogsRequestSchema,
  ReadLogsResponse,
  ReadMetricsResponse,
} from "../../gen/belay/v1/job_service_pb.ts";
import { hasEnded } from "../render/state.ts";
import type { JobClient } from "./client.ts";

/** A job as it is and after every change, up to its end, across lost connections. */
export async function* watchJob(client: JobClient, jobId: string): AsyncGenerator<Job, void, undefined> {
  let afterVersion = 0n;
  let ended = false;
  yield* client.follow(async function* (jobs) {
    for await (const { job } of jobs.watchJob({ jobId, afterVersion })) {
      if (job === undefined) continue;
      afterVersion = job.version;
      ended = hasEnded(job.state);
      yield job;
    }
    // A tracker that stops may end its streams cleanly.
    if (!ended) throw new ConnectError("the tracker ended the stream", Code.Unavailable);
  });
}

/** The job as it has ended. */
export async function waitForEnd(client: JobClient, jobId: string): Promise<Job> {
  for await (const job of watchJob(client, jobId)) {
    if (hasEnded(job.state)) return job;
  }
  throw new ConnectError("the job's stream ended before the job", Code.Internal);
}

/** A job's log across lost connections: goes on at the position after the last answer. */
export function readLogs(
  client: JobClient,
  request: Exclude<MessageInitShape<typeof ReadLogsRequestSchema>, { $typeName: string }>,
): AsyncGenerator<ReadLogsResponse, void, undefined> {
  let next = request;
  return client.follow(async function* (jobs) {
    for await (const answer of jobs.readLogs(next)) {
      yield answer;
      // A follower stays with the attempt it began with.
      const start = { case: "fromPosition", value: answer.nextPosition } as const;
      next = { ...request, attempt: answer.attempt, start };
    }
  });
}

/** A job's metric samples as they arrive. Ends with the first lost connection. */
export function followMetrics(client: JobClient, jobId: string): AsyncGenerator<ReadMetricsResponse, void, undefined> {
  return client.follow((jobs) => jobs.readMetrics({ jobId, follow: true }));
}
