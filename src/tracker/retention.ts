import type { Timer } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import type { JobContext } from "./jobs/context.ts";
import type { RetentionOptions } from "./options.ts";
import { isOpen } from "./jobs/states.ts";
import { storedBytes } from "./store/rows.ts";
import type { EndedJob } from "./store/types.ts";

/** Jobs that are read from the store at once; other calls get their turn between two pages. */
const PAGE = 100;

/**
 * Removes ended jobs that are too old, or that are together too large.
 *
 * Law: a job is removed as a whole, and the jobs that ended first are removed first. A job that has not ended, or whose
 * log is not decided, is never removed, however large it is.
 */
export class Retention {
  private readonly context: JobContext;
  private readonly options: Required<RetentionOptions>;
  private readonly logger: Logger;
  private timer: Timer | undefined;
  private running: Promise<void> = Promise.resolve();
  private closed = false;

  constructor(context: JobContext, options: Required<RetentionOptions>, logger: Logger) {
    this.context = context;
    this.options = options;
    this.logger = logger;
  }

  /** Sweeps now, and again at each interval. */
  start(): void {
    if (this.options.age === 0 && this.options.bytes === 0) return;
    this.running = this.sweepPeriodically();
  }

  async close(): Promise<void> {
    this.closed = true;
    this.timer?.cancel();
    await this.running;
  }

  /** Never throws. */
  private async sweepPeriodically(): Promise<void> {
    try {
      await this.sweep();
    } catch (error) {
      this.logger.error("Cannot remove old jobs", { error: messageOf(error) });
    }
    if (this.closed) return;
    this.timer = this.context.clock.after(this.options.interval, () => {
      this.running = this.sweepPeriodically();
    });
  }

  private async sweep(): Promise<void> {
    const { store } = this.context;
    let excess = await this.excess();
    for (;;) {
      const page = await store.endedJobs(PAGE);
      for (const job of page) {
        const old = this.isOld(job);
        if (this.closed || (!old && excess <= 0)) return;
        excess -= job.bytes;
        await this.remove(job, old ? "it ended too long ago" : "all jobs together are too large");
      }
      if (page.length < PAGE) return;
    }
  }

  /** Bytes of output and metrics above the limit. */
  private async excess(): Promise<number> {
    if (this.options.bytes === 0) return 0;
    let bytes = await this.context.store.endedBytes();
    // The store has counted ended jobs, those in memory included. Metrics, a few MiB at most, count once a job has ended.
    for (const { job, log } of this.context.registry.inMemory()) {
      if (!isOpen(job)) continue;
      bytes +=
        storedBytes(log === undefined ? job.attempts : job.attempts.slice(0, -1)) + (log?.committed.position ?? 0);
    }
    return bytes - this.options.bytes;
  }

  private isOld(job: EndedJob): boolean {
    const { clock } = this.context;
    // A clock that was set forward must not make jobs old, and one that was set back keeps them for longer at worst.
    const now = Math.min(clock.now(), clock.unixMs());
    return this.options.age > 0 && job.endTime <= now - this.options.age;
  }

  private async remove(job: EndedJob, why: string): Promise<void> {
    const live = await this.context.registry.find(job.jobId);
    if (live === undefined) return;
    await this.context.registry.remove(live);
    this.logger.info("Removed a job", { job: job.jobId, why, bytes: job.bytes });
  }
}
