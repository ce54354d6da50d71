import type { Job } from "../../gen/belay/v1/job_pb.ts";
import type { JobClient } from "../client/client.ts";
import { table } from "../render/table.ts";
import { timeLeft } from "../render/time-left.ts";
import { compactCores, compactDuration, compactShare, compactSize } from "./compact.ts";
import { inParallel } from "../../base/in-parallel.ts";
import { readLastLine } from "./last-line.ts";
import type { JobRow } from "./row.ts";
import { stateName } from "../../contract/names.ts";

/** For how many rows the last line is read. */
const MAX_LAST_LINES = 200;

/** The table once, for a file or a program: every column, no blanks within values, `-` for a missing value. */
export async function snapshotText(client: JobClient, rows: readonly JobRow[], nowMs: number): Promise<string> {
  const lines = new Map<string, string>();
  const forever = new AbortController().signal;
  await inParallel(rows.slice(0, MAX_LAST_LINES), async (row) => {
    lines.set(row.jobId, (await readLastLine(client, row, undefined, forever)) ?? "");
  });
  const header = ["JOB", "STATE", "CPU", "OF", "MEM", "OF", "GPU", "PROGRESS", "LEFT", "TIME", "HEARD", "LAST LINE"];
  return table(
    header,
    rows.map((row) => {
      const { startMs, endMs, createMs, heardMs, progress } = row;
      const left = progress === undefined ? undefined : timeLeft(row.points, nowMs);
      return [
        row.jobId,
        stateName(row.state),
        row.cpuCores === undefined ? "" : compactCores(row.cpuCores),
        row.cpuLimit === 0 ? "" : compactCores(row.cpuLimit),
        row.memoryBytes === undefined ? "" : compactSize(row.memoryBytes),
        row.memoryLimit === 0 ? "" : compactSize(row.memoryLimit),
        row.gpu?.utilization === undefined ? "" : compactShare(row.gpu.utilization),
        progress === undefined ? "" : compactShare(progress.fraction),
        left === undefined ? "" : compactDuration(left),
        compactDuration((endMs ?? nowMs) - (startMs ?? createMs)),
        heardMs === undefined ? "" : compactDuration(nowMs - heardMs),
        row.remark === "" ? (lines.get(row.jobId) ?? "") : row.remark,
      ];
    }),
  );
}

/** All jobs that match a filter, read page by page. @param limit most jobs returned */
export async function listAll(
  client: JobClient,
  filter: { states: Job["state"][]; labels: Record<string, string>; name?: string },
  limit: number = Infinity,
): Promise<readonly Job[]> {
  const found: Job[] = [];
  let pageToken = "";
  do {
    const request = { filter, pageSize: Math.min(1_000, limit - found.length), pageToken };
    const answer = await client.call((service) => service.listJobs(request));
    found.push(...answer.jobs);
    pageToken = answer.nextPageToken;
  } while (pageToken !== "" && found.length < limit);
  return found;
}
