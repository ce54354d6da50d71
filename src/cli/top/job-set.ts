import type { Job, JobState } from "../../gen/belay/v1/job_pb.ts";
import type { JobRow } from "./row.ts";
import { rowOf } from "./row.ts";
import { isEnded } from "../../contract/states.ts";

/** Most ended jobs that are kept; those that ended first are dropped first. */
const MAX_ENDED = 1_000;
/** How long a job is still shown among the running ones after we saw it end. */
export const LINGER_MS = 30_000;

/** Sums over the jobs that have not ended. */
export interface Totals {
  readonly live: number;
  readonly states: ReadonlyMap<JobState, number>;
  readonly cpuCores: number;
  readonly memoryBytes: number;
  readonly gpus: number;
}

/**
 * Everything known about the jobs. Law: of two answers about one job, the newer one counts, whichever arrives first.
 */
export class JobSet {
  private readonly rows = new Map<string, JobRow>();
  private readonly lastLines = new Map<string, string>();
  /** When a job was first seen ended, if it had been seen before its end. */
  private readonly endSeen = new Map<string, number>();
  /** During a snapshot: the jobs that it has not contained so far. */
  private unseen: Set<string> | undefined;

  get size(): number {
    return this.rows.size;
  }

  get(jobId: string): JobRow | undefined {
    return this.rows.get(jobId);
  }

  all(): IterableIterator<JobRow> {
    return this.rows.values();
  }

  lastLine(jobId: string): string {
    return this.lastLines.get(jobId) ?? "";
  }

  /** Adds or updates a job. */
  put(job: Job, nowMs: number): void {
    const before = this.rows.get(job.jobId);
    this.unseen?.delete(job.jobId);
    if (before !== undefined && job.version < before.version) return;
    const row = rowOf(job, before);
    if (isEnded(row.state)) {
      if (before !== undefined && !isEnded(before.state)) this.endSeen.set(job.jobId, nowMs);
      // Moves the row to the end: the map stays in the order in which we saw jobs end.
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

  /** Starts a snapshot: the tracker sends every job that has not ended again. */
  beginSnapshot(): void {
    this.unseen = new Set([...this.rows.values()].filter(({ state }) => !isEnded(state)).map(({ jobId }) => jobId));
  }

  /** Ends a snapshot: jobs that were not in it no longer exist or have ended. Returns their ids. */
  endSnapshot(): readonly string[] {
    const gone = [...(this.unseen ?? [])];
    this.unseen = undefined;
    return gone;
  }

  /** Whether a job is shown among those that have not ended. */
  isCurrent(row: JobRow, nowMs: number): boolean {
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
