import type { Timer } from "../../../base/clock.ts";
import type { Logger } from "../../../base/logger.ts";
import { messageOf } from "../../../base/errors.ts";
import { SilenceClock } from "../../../base/silence.ts";
import { JobState } from "../../../gen/belay/v1/job_pb.ts";
import { decideLog, isLogUndecided } from "../ending.ts";
import type { JobContext } from "../context.ts";
import type { LiveJob } from "../live-job.ts";
import { isOpen } from "../states.ts";
import { isRunning } from "../../../contract/states.ts";

/** A timer that comes later than this share of a lease shows that the tracker itself was stopped. */
export const STALL_SHARE = 0.25;

/** A lease that is checked for its end. */
interface Lease {
  readonly silence: SilenceClock;
  readonly timer: Timer;
}

/**
 * Declares jobs LOST whose agents have been silent for a whole lease.
 *
 * There is one timer per job with an agent. It is not set again with each message, which would cost more than the
 * message itself; when it fires before the lease is over, it is set for the rest.
 */
export class Leases {
  private readonly context: JobContext;
  private readonly logger: Logger;
  /** Milliseconds. */
  readonly duration: number;
  private readonly leases = new Map<LiveJob, Lease>();

  constructor(context: JobContext, duration: number, logger: Logger) {
    this.context = context;
    this.duration = duration;
    this.logger = logger;
  }

  /** Must be called for each message of an agent: its lease begins again, and a job that was LOST is
   * LOST no longer. */
  async renew(live: LiveJob): Promise<void> {
    live.heardAt = this.context.clock.now();
    this.grant(live);
    // After the result only the rest of the log comes: the job waits for its next attempt.
    if (live.job.state !== JobState.LOST || live.attempt?.result !== undefined) return;
    live.job.state = live.resumeState;
    await this.context.registry.commit(live, { urgent: true });
  }

  /** Begins a full lease without a message, as after a restart of the tracker, which no agent could reach meanwhile. */
  grant(live: LiveJob): void {
    const lease = this.leases.get(live);
    if (lease === undefined) this.watch(live, new SilenceClock(this.context.clock), this.duration);
    else lease.silence.heard();
  }

  /** Milliseconds that are left of a job's lease. */
  left(live: LiveJob): number {
    const lease = this.leases.get(live);
    return lease === undefined ? 0 : Math.max(0, this.duration - lease.silence.duration);
  }

  close(): void {
    for (const { timer } of this.leases.values()) timer.cancel();
    this.leases.clear();
  }

  private watch(live: LiveJob, silence: SilenceClock, ms: number): void {
    const timer = silence.after(ms, this.duration * STALL_SHARE, () => void this.check(live, silence));
    this.leases.set(live, { silence, timer });
  }

  private async check(live: LiveJob, silence: SilenceClock): Promise<void> {
    const left = live.stream?.holding === true ? this.duration : this.left(live);
    if (left > 0 && !live.abandoned) {
      this.watch(live, silence, left);
      return;
    }
    this.leases.delete(live);
    try {
      if (live.abandoned) await this.watchAgain(live.id);
      else await this.expire(live);
    } catch (error) {
      this.logger.error("Cannot store that a job is lost", { job: live.id, error: messageOf(error) });
    }
  }

  /** A job whose change could not be stored was loaded from disk again: its lease must be checked, too. */
  private async watchAgain(jobId: string): Promise<void> {
    const live = await this.context.registry.find(jobId);
    if (live?.attempt !== undefined && isOpen(live.job) && !this.leases.has(live)) this.grant(live);
  }

  private async expire(live: LiveJob): Promise<void> {
    const { job } = live;
    if (isRunning(job.state)) {
      live.resumeState = job.state;
      job.state = JobState.LOST;
      this.logger.warn("A job is lost: its agent was silent for a whole lease", { job: live.id });
      await this.context.registry.commit(live, { urgent: true });
    } else if (isLogUndecided(live)) {
      await decideLog(this.context, live, true);
      await this.context.registry.settle(live);
    }
  }
}
