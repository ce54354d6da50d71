import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { DatabaseSync } from "node:sqlite";
import { streamName } from "../../../contract/names.ts";
import type { StreamTotals } from "../../../gen/belay/v1/job_pb.ts";
import { AttemptSchema, JobSchema, LogCompleteness } from "../../../gen/belay/v1/job_pb.ts";
import { attemptBody, storedBytes } from "../rows.ts";

/**
 * Records in the database what a repaired log holds, and that it is incomplete where bytes are missing that were not
 * missing before: a change of the job like any other.
 */
export function recordLoss(database: DatabaseSync, key: number, number: number, stored: StreamTotals[]): void {
  const row = database.prepare("SELECT body FROM jobs WHERE key = ?").get(key);
  const bodies = database.prepare("SELECT body FROM attempts WHERE job_key = ? ORDER BY attempt").all(key);
  const attempts = bodies.map(({ body }) => fromBinary(AttemptSchema, body as Uint8Array));
  const attempt = attempts.find((candidate) => candidate.attempt === number);
  if (row === undefined || attempt === undefined) return;
  const missing = missingOf(stored);
  if (missing !== missingOf(attempt.stored)) {
    attempt.logCompleteness = LogCompleteness.INCOMPLETE;
    attempt.logMessage = `the stored log was damaged and repaired: ${missing}`;
  }
  attempt.stored = stored;
  const last = database
    .prepare(
      "SELECT max((SELECT max(version) FROM jobs), (SELECT coalesce(max(version), 0) FROM deletions)) AS version",
    )
    .get();
  const version = Number(last?.["version"]) + 1;
  const job = create(JobSchema, { ...fromBinary(JobSchema, row["body"] as Uint8Array), version: BigInt(version) });
  database.exec("BEGIN IMMEDIATE");
  database
    .prepare("UPDATE attempts SET body = ? WHERE job_key = ? AND attempt = ?")
    .run(attemptBody(attempt), key, number);
  database
    .prepare("UPDATE jobs SET version = ?, log_bytes = ?, body = ? WHERE key = ?")
    .run(version, storedBytes(attempts), toBinary(JobSchema, job), key);
  database.exec("COMMIT");
}

function missingOf(stored: readonly StreamTotals[]): string {
  return stored
    .filter(({ droppedBytes }) => droppedBytes > 0n)
    .map(({ stream, bytes, droppedBytes }) => `${streamName(stream)}: ${droppedBytes} of ${bytes} bytes are missing`)
    .join("; ");
}
