import type { Job, JobState } from "../../gen/belay/v1/job_pb.ts";
import type { Row } from "./row.ts";
import { rowOf } from "./row.ts";
import { isEnded } from "../../contract/states.ts";

/** Ended jobs that are kept; those that ended first go first. */
const MAX_ENDED = 1_000;
/** For how long a job that ended before our eyes is shown among those that run. */
export const LINGER_MS = 30_000;

/** Sums over the jobs that have not ended. */
export interface Totals {
  readonly live: number;
  readonly states: ReadonlyMap<JobState, number>;
  readonly cpuCores: number;
  readonly memoryBytes: number;
  readonly gpus: number;
}

/** All that is known of the jobs. Law: of two answers about one job, the newer counts, in whatever order they come. */
export class JobSet {
  private readonly rows = new Map<string, Row>();
  private readonly lastLines = new Map<string, string>();
  /** When a job was first seen to have ended, if it had been seen before it ended. */
  private readonly endSeen = new Map<string, number>();
  /** While a snapshot comes: jobs that it has not told of yet. */
  private unseen: Set<string> | undefined;

  get size(): number {
    return this.rows.size;
  }

  get(jobId: string): Row | undefined {
    return this.rows.get(jobId);
  }

  all(): IterableIterator<Row> {
    return this.rows.values();
  }

  lastLine(jobId: string): string {
    return this.lastLines.get(jobId) ?? "";
  }

  /** A job as the tracker knows it. */
  put(job: Job, nowMs: number): void {
    const before = this.rows.get(job.jobId);
    this.unseen?.delete(job.jobId);
    if (before !== undefined && job.version < before.version) return;
    const row = rowOf(job, before);
    if (isEnded(row.state)) {
      if (before !== undefined && !isEnded(before.state)) this.endSeen.set(job.jobId, nowMs);
      // To the end: the map stays in the order in which jobs ended, as far as we saw it.
      this.rows.delete(job.jobId);
      this.rows.set(job.jobId, row);
      this.forgetEnded();
    } else {
      this.rows.set(job.jobId, row);
    }
  }

  putLastLine(jobId: string, text: string): void {
    if (this.rows.has(jobId)) this.lastLines.set(jobId, text);
  }

  remove(jobId: string): void {
    this.rows.delete(jobId);
    this.lastLines.delete(jobId);
    this.endSeen.delete(jobId);
    this.unseen?.delete(jobId);
  }

  /** From here on every job that has not ended is told anew. */
  beginSnapshot(): void {
    this.unseen = new Set([...this.rows.values()].filter(({ state }) => !isEnded(state)).map(({ jobId }) => jobId));
  }

  /** Every job has been told: what was not is gone. Returns the ids of those. */
  endSnapshot(): readonly string[] {
    const gone = [...(this.unseen ?? [])];
    this.unseen = undefined;
    return gone;
  }

  /** Whether a job is shown where only those are that have not ended. */
  isCurrent(row: Row, nowMs: number): boolean {
    if (!isEnded(row.state)) return true;
    const seen = this.endSeen.get(row.jobId);
    return seen !== undefined && nowMs - seen < LINGER_MS;
  }

  totals(): Totals {
    const states = new Map<JobState, number>();
    let [live, cpuCores, memoryBytes, gpus] = [0, 0, 0, 0];
    for (const row of this.rows.values()) {
      states.set(row.state, (states.get(row.state) ?? 0) + 1);
      if (isEnded(row.state)) continue;
      live++;
      cpuCores += row.cpuCores ?? 0;
      memoryBytes += row.memoryBytes ?? 0;
      gpus += row.gpu?.count ?? 0;
    }
    return { live, states, cpuCores, memoryBytes, gpus };
  }

  private forgetEnded(): void {
    let ended = 0;
    for (const row of this.rows.values()) if (isEnded(row.state)) ended++;
    if (ended <= MAX_ENDED) return;
    for (const row of this.rows.values()) {
      if (!isEnded(row.state)) continue;
      this.remove(row.jobId);
      if (--ended <= MAX_ENDED) return;
    }
  }
}
