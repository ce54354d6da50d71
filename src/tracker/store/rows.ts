import { clone, create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { SQLInputValue } from "node:sqlite";
import type { Attempt, Job } from "../../gen/belay/v1/job_pb.ts";
import {
  AttemptSchema,
  CommandRecordSchema,
  JobSchema,
  JobSpecSchema,
  LogCompleteness,
} from "../../gen/belay/v1/job_pb.ts";
import type { JobFilter } from "../../gen/belay/v1/job_service_pb.ts";
import { CommandSchema } from "../../gen/belay/v1/tracker_service_pb.ts";
import type { SqlRow } from "./statements.ts";
import type { StoredCommand } from "./types.ts";

/** The body of a job: everything that has no table of its own. */
export function jobBody(job: Job): Uint8Array {
  const { spec: _, ...rest } = job;
  return toBinary(JobSchema, create(JobSchema, { ...rest, attempts: [], commands: [] }));
}

/** The body of an attempt, without what is true only while a stream is open. */
export function attemptBody(attempt: Attempt): Uint8Array {
  const copy = clone(AttemptSchema, attempt);
  copy.connected = false;
  return toBinary(AttemptSchema, copy);
}

/**
 * When a job ended, in milliseconds since the Unix epoch, for retention. Null: it has not ended. The
 * end time comes from the agent, whose clock may be wrong by years; here it lies between the job's creation and now, by
 * the tracker's clock.
 */
export function endMs(job: Job, now: number): number | null {
  if (job.endTime === undefined) return null;
  const created = job.createTime === undefined ? 0 : timestampMs(job.createTime);
  return Math.floor(Math.max(created, Math.min(timestampMs(job.endTime), now)));
}

/** Bytes of output that are stored, in all attempts. */
export function storedBytes(attempts: readonly Attempt[]): number {
  const totals = attempts.flatMap(({ stored }) => stored);
  return totals.reduce((sum, { bytes, droppedBytes }) => sum + Number(bytes - droppedBytes), 0);
}

/**
 * Whether an attempt's log is closed: its completeness is decided, or another attempt has the job, in which case older
 * trackers decided nothing and left the attempt without a result.
 */
export function isLogClosed({ superseded, result, logCompleteness }: Attempt): boolean {
  return logCompleteness !== LogCompleteness.UNSPECIFIED || (superseded && result === undefined);
}

/** Puts a job together. */
export function readJob(row: SqlRow, attempts: readonly SqlRow[]): Job {
  const job = fromBinary(JobSchema, row["body"] as Uint8Array);
  job.spec = fromBinary(JobSpecSchema, row["spec"] as Uint8Array);
  job.attempts = attempts.map((attempt) => fromBinary(AttemptSchema, attempt["body"] as Uint8Array));
  return job;
}

/** Puts a command together. */
export function readCommand(row: SqlRow): StoredCommand {
  return {
    record: fromBinary(CommandRecordSchema, row["record"] as Uint8Array),
    command: fromBinary(CommandSchema, row["command"] as Uint8Array),
  };
}

/** A filter as conditions of SQL over `jobs`, joined by "and". */
export function filterSql(filter: JobFilter | undefined): { sql: string; values: SQLInputValue[] } {
  const conditions: string[] = ["1"];
  const values: SQLInputValue[] = [];
  const add = (condition: string, ...more: SQLInputValue[]): void => {
    conditions.push(condition);
    values.push(...more);
  };
  if (filter === undefined) return { sql: "1", values };
  if (filter.states.length > 0) add(`state IN (${filter.states.map(() => "?").join()})`, ...filter.states);
  if (filter.name !== "") add("name = ?", filter.name);
  if (filter.createTimeFrom !== undefined) add("create_ms >= ?", Math.ceil(timestampMs(filter.createTimeFrom)));
  if (filter.createTimeTo !== undefined) add("create_ms < ?", Math.ceil(timestampMs(filter.createTimeTo)));
  for (const [label, value] of Object.entries(filter.labels)) {
    add("EXISTS (SELECT 1 FROM labels WHERE job_key = jobs.key AND label = ? AND value = ?)", label, value);
  }
  return { sql: conditions.join(" AND "), values };
}
