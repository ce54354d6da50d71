import type { JobMetrics } from "../../gen/belay/v1/job_pb.ts";
import type { LiveJob } from "../jobs/live-job.ts";
import type { ChangedParts } from "../jobs/changed-parts.ts";
import { isEnded } from "../../contract/states.ts";
import { isRunning } from "../../contract/states.ts";

/** Most jobs whose usage is in one export. */
export const MAX_JOBS = 1000;
/** Most names of one job's own metrics that are exported: those that it used first. */
const MAX_NAMES = 100;

/** The latest value of one of a job's own metrics. */
export interface OwnValue {
  readonly value: number;
  readonly unixNano: bigint;
}

/** The jobs whose usage is exported: those that run, with the latest values of their own metrics. */
export class JobValues {
  /** How many running jobs were not in the last export, because there were too many. */
  leftOut = 0;
  private readonly own = new Map<LiveJob, Map<string, OwnValue>>();
  /** Jobs that have ended since the last export: their last values are in the next one. */
  private readonly ended = new Set<LiveJob>();

  /** Records the values in a change. */
  record(live: LiveJob, { event }: ChangedParts): void {
    const kind = event?.event.kind;
    if (kind?.case === "jobMetrics") this.recordOwn(live, kind.value);
    else if (kind?.case === "result" && isEnded(live.job.state) && this.ended.size < MAX_JOBS) this.ended.add(live);
  }

  /** The latest values of a job's own metrics, by name. */
  ownOf(live: LiveJob): ReadonlyMap<string, OwnValue> {
    return this.own.get(live) ?? new Map<string, OwnValue>();
  }

  /** The jobs of the next export. Jobs that have ended are in it for the last time. */
  next(inMemory: Iterable<LiveJob>): LiveJob[] {
    const jobs = [...this.ended];
    this.ended.clear();
    this.leftOut = 0;
    for (const live of inMemory) {
      if (!isRunning(live.job.state)) continue;
      if (jobs.length < MAX_JOBS) jobs.push(live);
      else this.leftOut++;
    }
    return jobs;
  }

  /** Discards the values of jobs that have ended. Must be called after an export. */
  forget(): void {
    for (const live of this.own.keys()) {
      if ((isEnded(live.job.state) && !this.ended.has(live)) || live.abandoned) this.own.delete(live);
    }
  }

  private recordOwn(live: LiveJob, { metrics, readUnixNano }: JobMetrics): void {
    let values = this.own.get(live);
    if (isEnded(live.job.state) || (values === undefined && this.own.size >= MAX_JOBS)) return;
    if (values === undefined) this.own.set(live, (values = new Map<string, OwnValue>()));
    for (const { name, value } of metrics) {
      if (values.size < MAX_NAMES || values.has(name)) values.set(name, { value, unixNano: readUnixNano });
    }
  }
}
