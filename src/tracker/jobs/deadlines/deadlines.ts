import type { Timer } from "../../../base/clock.ts";
import { type Due, DueQueue } from "../../../base/due-queue.ts";
import { messageOf } from "../../../base/errors.ts";
import { inParallel } from "../../../base/in-parallel.ts";
import type { Logger } from "../../../base/logger.ts";
import type { JobContext } from "../context.ts";
import { deadlineOf, keepDeadlines, putDeadline } from "./deadline-fields.ts";
import type { JobChanges } from "../job-changes.ts";
import type { LiveJob } from "../live-job.ts";
import { STALL_SHARE } from "./leases.ts";

/** Most jobs whose deadline is dealt with before other work gets its turn. */
const BATCH = 100;
/** Time after which a deadline is tried again if its change could not be stored. Milliseconds. */
const RETRY_MS = 10_000;

/** The dependencies and settings of the deadlines. */
export interface DeadlineContext extends JobContext {
  readonly changes: JobChanges;
  readonly logger: Logger;
  /** Milliseconds of a lease: how much longer a job waits whose agent could not come. */
  readonly lease: number;
  /** As in the registry's context. */
  readonly lostTimeout: number;
  /** Does what the deadline of a PENDING or LOST job demands, and stores it. */
  readonly expire: (live: LiveJob) => Promise<void>;
}

/** The deadline of one job. */
interface Deadline extends Due {
  /** As in the job: milliseconds since the Unix epoch. */
  readonly until: number;
}

/**
 * Watches over the jobs that may not be PENDING or LOST for ever, however many there are: with one timer, which is set
 * for the earliest of them, and one entry for each.
 *
 * Law: no job misses its deadline because the tracker was away or stopped, when no agent could come. Such a
 * deadline, and one that comes within a lease from then on, is moved to the end of that lease.
 *
 * Within a process the monotonic clock counts, so that setting the machine's clock ends no job; what is stored and shown
 * is the time of the day.
 */
export class Deadlines {
  private readonly context: DeadlineContext;
  private readonly queue = new DueQueue<Deadline>();
  private timer: { readonly due: number; readonly timer: Timer } | undefined;
  private running: Promise<void> | undefined;
  private closed = false;

  constructor(context: DeadlineContext) {
    this.context = context;
    context.changes.onChange(({ jobId, keepsVersion, deleted }) => {
      if (deleted) this.queue.delete(jobId);
      else if (!keepsVersion) this.update(jobId);
    });
  }

  /** Takes over the deadlines of the jobs that the tracker found when it started. */
  async restore(open: readonly LiveJob[]): Promise<void> {
    const { clock, lease, lostTimeout } = this.context;
    const now = clock.now();
    const moved: [LiveJob, number][] = [];
    for (const live of open) {
      const stored = deadlineOf(live.job);
      // An older tracker has stored none.
      keepDeadlines(live.job, now, lostTimeout);
      const until = deadlineOf(live.job);
      if (until === undefined) continue;
      if (until === stored && until >= now + lease) this.update(live.id);
      else moved.push([live, Math.max(until, now + lease)]);
    }
    await inParallel(moved, ([live, later]) => this.move(live, later));
  }

  async close(): Promise<void> {
    this.closed = true;
    this.timer?.timer.cancel();
    await this.running;
  }

  /** Moves a deadline to another time. Never throws. */
  private async move(live: LiveJob, until: number): Promise<void> {
    const { registry, logger } = this.context;
    putDeadline(live.job, until);
    try {
      await registry.commit(live, { urgent: true, lasting: true });
    } catch (error) {
      // It counts although it is not stored: the next change of the job stores it.
      logger.error("Cannot store the new deadline of a job", { job: live.id, error: messageOf(error) });
      this.update(live.id);
    }
  }

  /** A job has changed: its deadline may be another one, or none. */
  private update(jobId: string): void {
    const live = this.context.registry.peek(jobId);
    if (live === undefined) return;
    const until = deadlineOf(live.job);
    if (until === undefined) this.queue.delete(jobId);
    else if (this.queue.get(jobId)?.until !== until) this.add(jobId, until, until - this.context.clock.now());
    this.arm();
  }

  private add(key: string, until: number, ms: number): void {
    this.queue.set({ key, until, due: this.context.clock.monotonic() + ms });
  }

  /** Sets the timer for the earliest deadline. One that is set for an earlier time stays: it will find nothing. */
  private arm(): void {
    const { clock } = this.context;
    const due = this.queue.first?.due;
    if (due === undefined || this.closed || this.running !== undefined) return;
    if (this.timer !== undefined && this.timer.due <= due) return;
    this.timer?.timer.cancel();
    const timer = clock.after(due - clock.monotonic(), () => {
      this.timer = undefined;
      this.running = this.passed(clock.monotonic() - due > this.context.lease * STALL_SHARE).finally(() => {
        this.running = undefined;
        this.arm();
      });
    });
    this.timer = { due, timer };
  }

  /**
   * Deals with all deadlines that have passed. Never throws.
   *
   * @param late whether the tracker was stopped when the first of them passed
   */
  private async passed(late: boolean): Promise<void> {
    const { clock } = this.context;
    while (!this.closed) {
      const batch: Deadline[] = [];
      for (let first = this.queue.first; batch.length < BATCH; first = this.queue.first) {
        if (first === undefined || first.due > clock.monotonic()) break;
        this.queue.delete(first.key);
        batch.push(first);
      }
      if (batch.length === 0) return;
      await inParallel(batch, (deadline) => this.expireOne(deadline, late));
    }
  }

  private async expireOne({ key, until }: Deadline, late: boolean): Promise<void> {
    const { registry, clock, lease, logger, expire } = this.context;
    try {
      const live = await registry.find(key);
      // It has changed meanwhile: `update` has its new deadline.
      if (live === undefined || deadlineOf(live.job) !== until) return;
      await (late ? this.move(live, clock.now() + lease) : expire(live));
    } catch (error) {
      logger.error("Cannot store what the deadline of a job demands", { job: key, error: messageOf(error) });
      this.add(key, until, RETRY_MS);
    }
  }
}
