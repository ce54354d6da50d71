import { createHash } from "node:crypto";

/**
 * Whose log it is. Written into the file, so that the log of one job is never read or continued as that of another,
 * whatever happens to the database: numbers of jobs begin again with a new one.
 */
export interface LogOwner {
  /** Differs for every attempt of every job that any tracker ever makes. Never 0. */
  readonly id: bigint;
  readonly attempt: number;
  /** True: the job is from before logs named their owner, so its log need not. */
  readonly unnamed: boolean;
}

/**
 * The owner of an attempt's log.
 *
 * @param createTime of the job, milliseconds since the Unix epoch
 */
export function logOwner(job: { jobId: string; createTime: number }, attempt: number, unnamed: boolean): LogOwner {
  const text = JSON.stringify([job.jobId, job.createTime, attempt]);
  const id = createHash("sha256").update(text).digest().readBigUInt64LE(0);
  return { id: id === 0n ? 1n : id, attempt, unnamed };
}
