import type { HandlerContext } from "@connectrpc/connect";
import type { Job } from "../../gen/belay/v1/job_pb.ts";
import { JobSchema } from "../../gen/belay/v1/job_pb.ts";
import type { ListJobsRequest } from "../../gen/belay/v1/job_service_pb.ts";
import { answerBytes, MAX_ANSWER_BYTES } from "./answer-size.ts";
import { snapshotOf } from "../jobs/shown/snapshot.ts";
import type { ControlContext } from "./context.ts";
import { check, invalid } from "./context.ts";
import { filterProblem, matches } from "./filter.ts";

const DEFAULT_PAGE = 100;
const MAX_PAGE = 1000;
/** Bytes of the page token, and of what surrounds each job in the answer. */
const FRAME_BYTES = 16;

/** Lists jobs, newest first. A page ends early when one more job would make the answer too large. */
export async function listJobs(
  context: ControlContext,
  request: ListJobsRequest,
  call: HandlerContext,
): Promise<{ jobs: Job[]; nextPageToken: string }> {
  const { registry, store } = context;
  const { filter, pageSize } = request;
  check(pageSize > MAX_PAGE ? `page_size is ${pageSize}: expected at most ${MAX_PAGE}` : undefined);
  check(filterProblem(filter));
  const limit = pageSize === 0 ? DEFAULT_PAGE : pageSize;
  const below = request.pageToken === "" ? undefined : readToken(request.pageToken);
  // One more than requested shows whether there is another page.
  const found = await store.list({ filter, below, limit: limit + 1 });
  const jobs: Job[] = [];
  let bytes = 64 + FRAME_BYTES;
  let last = below;
  for (const { jobId, key } of found.slice(0, limit)) {
    const live = await registry.find(jobId);
    if (live !== undefined && matches(live.job, filter)) {
      const job = snapshotOf(live);
      bytes += answerBytes(JobSchema, job, call) + FRAME_BYTES;
      if (bytes > MAX_ANSWER_BYTES && jobs.length > 0) return { jobs, nextPageToken: makeToken(last ?? key) };
      jobs.push(job);
    }
    last = key;
  }
  return { jobs, nextPageToken: found.length > limit && last !== undefined ? makeToken(last) : "" };
}

function makeToken(key: number): string {
  return Buffer.from(`k${key}`).toString("base64url");
}

function readToken(token: string): number {
  const match = /^k(\d{1,15})$/.exec(Buffer.from(token, "base64url").toString());
  if (match === null)
    throw invalid(`page_token "${token.slice(0, 40)}" is not valid: expected next_page_token from an earlier response`);
  return Number(match[1]);
}
