import type { Job } from "../../gen/belay/v1/job_pb.ts";
import type { JobFilter, ListJobsRequest } from "../../gen/belay/v1/job_service_pb.ts";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { ControlContext } from "./context.ts";
import { check, invalid } from "./context.ts";

const DEFAULT_PAGE = 100;
const MAX_PAGE = 1000;

/** Lists jobs, newest first. */
export async function listJobs(
  context: ControlContext,
  request: ListJobsRequest,
): Promise<{ jobs: Job[]; nextPageToken: string }> {
  const { registry } = context;
  const { filter, pageSize } = request;
  check(pageSize > MAX_PAGE ? `page_size is ${pageSize}: expected at most ${MAX_PAGE}` : undefined);
  const limit = pageSize === 0 ? DEFAULT_PAGE : pageSize;
  const below = request.pageToken === "" ? undefined : readToken(request.pageToken);
  // One more than asked for tells whether there is another page.
  const found = await registry.store.list({ filter, below, limit: limit + 1 });
  const page = found.slice(0, limit);
  const jobs: Job[] = [];
  for (const { jobId } of page) {
    const live = await registry.find(jobId);
    if (live !== undefined && matches(live.job, filter)) jobs.push(live.snapshot());
  }
  const last = page.at(-1);
  return { jobs, nextPageToken: found.length > limit && last !== undefined ? makeToken(last.key) : "" };
}

/** Whether a job passes a filter. */
export function matches(job: Job, filter: JobFilter | undefined): boolean {
  if (filter === undefined) return true;
  const { states, labels, name, createTimeFrom, createTimeTo } = filter;
  const created = job.createTime === undefined ? 0 : timestampMs(job.createTime);
  return (
    (states.length === 0 || states.includes(job.state)) &&
    (name === "" || job.spec?.name === name) &&
    (createTimeFrom === undefined || created >= timestampMs(createTimeFrom)) &&
    (createTimeTo === undefined || created < timestampMs(createTimeTo)) &&
    Object.entries(labels).every(([key, value]) => job.spec?.labels[key] === value)
  );
}

function makeToken(key: number): string {
  return Buffer.from(`k${key}`).toString("base64url");
}

function readToken(token: string): number {
  const match = /^k(\d{1,15})$/.exec(Buffer.from(token, "base64url").toString());
  if (match === null) throw invalid(`page_token "${token.slice(0, 40)}" is none: expected the one of an answer before`);
  return Number(match[1]);
}
