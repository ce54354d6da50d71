import { ConnectError, Code } from "@connectrpc/connect";
import { create } from "@bufbuild/protobuf";
import { durationMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import type { Logger } from "../../base/logger.ts";
import type { Attempt, JobResult, JobSpec } from "../../gen/belay/v1/job_pb.ts";
import { JobSchema, JobState } from "../../gen/belay/v1/job_pb.ts";
import type { TraceChange } from "../store/trace-change.ts";
import { isNoSpace } from "../store/condition.ts";
import type { Store, StoredJob } from "../store/types.ts";
import type { ChangedParts } from "./changed-parts.ts";
import { keepDeadlines, putPendingUntil } from "./deadlines/deadline-fields.ts";
import type { JobChanges } from "./job-changes.ts";
import { LiveJob } from "./live-job.ts";
import { isOpen } from "./states.ts";
import { beginTrace } from "./trace.ts";

/** How many jobs that are not busy stay in memory, those that were used last. */
const KEPT_ENDED = 500;

/** Called with each change, after it was made in memory and before it is stored. Returns spans to store with it. */
export type Recorder = (live: LiveJob, parts: ChangedParts) => TraceChange | undefined;

/** What a job runs. */
export interface Specs {
  readonly spec: JobSpec;
  /** As `Hello.shown_spec`. */
  readonly shownSpec?: JobSpec | undefined;
}

/** What the registry reports of its jobs. */
export interface JobObserver {
  /** An attempt has ended, and that is stored. Called once for each attempt. */
  attemptEnded(result: JobResult): void;
}

/** The dependencies of the registry. */
export interface RegistryContext {
  readonly store: Store;
  readonly clock: Clock;
  readonly changes: JobChanges;
  readonly logger: Logger;
  readonly observer?: JobObserver;
  /** Milliseconds for which a job may be LOST if its spec does not say. 0: for ever. */
  readonly lostTimeout: number;
}

/** All jobs: the one place that loads, makes, stores and removes them. */
export class JobRegistry {
  private readonly context: RegistryContext;
  private recorder: Recorder | undefined;
  private readonly jobs = new Map<string, LiveJob>();
  private readonly loading = new Map<string, Promise<LiveJob | undefined>>();
  /** Removals under way, by the job's id: until then the store still has the job. */
  private readonly removing = new Map<string, Promise<void>>();
  private nextKey: number;
  private sinceSweep = 0;

  constructor(context: RegistryContext) {
    this.context = context;
    this.nextKey = context.store.highest.key + 1;
  }

  /**
   * Loads every job that may still change.
   *
   * @param recorder makes spans of each change from now on; undefined: no spans are made
   */
  async open(recorder?: Recorder): Promise<LiveJob[]> {
    const { store, logger } = this.context;
    this.recorder = recorder;
    const open = (await store.openJobs()).map((stored) => this.loaded(stored));
    for (const live of open) {
      this.jobs.set(live.id, live);
      if (!live.usesLog) continue;
      try {
        await live.openLog((attempt) => store.log(live.key, attempt));
      } catch (error) {
        // The other jobs go on; this one's agent and readers get the error when they call.
        logger.error("Cannot open a log", { job: live.id, error: messageOf(error) });
      }
    }
    return open;
  }

  /** Jobs in memory: all that may still change, and some others. */
  inMemory(): Iterable<LiveJob> {
    return this.jobs.values();
  }

  /** The job if it is in memory, without a sign that it was used. */
  peek(jobId: string): LiveJob | undefined {
    return this.jobs.get(jobId);
  }

  async find(jobId: string): Promise<LiveJob | undefined> {
    const live = this.jobs.get(jobId);
    if (live !== undefined) {
      // Used last, so that it is forgotten last.
      this.jobs.delete(jobId);
      this.jobs.set(jobId, live);
      return live;
    }
    let loading = this.loading.get(jobId);
    if (loading === undefined) {
      loading = this.load(jobId).finally(() => this.loading.delete(jobId));
      this.loading.set(jobId, loading);
    }
    return loading;
  }

  /** @throws ConnectError NOT_FOUND */
  async get(jobId: string): Promise<LiveJob> {
    const live = await this.find(jobId);
    if (live === undefined) throw new ConnectError(`Job "${jobId}" does not exist`, Code.NotFound);
    return live;
  }

  /**
   * Creates a job unless one with this id exists.
   *
   * @param by waits: a caller, whose job waits for an agent, as long as its spec allows; takes: an agent
   * @returns the job, and whether this call created it
   */
  async create(jobId: string, { spec, shownSpec }: Specs, by: "waits" | "takes"): Promise<[LiveJob, boolean]> {
    const there = await this.find(jobId);
    // From here to `this.jobs.set` nothing is awaited, so no other call creates the same job.
    const other = there ?? this.jobs.get(jobId);
    if (other !== undefined) return [other, false];
    const now = this.context.clock.now();
    const createTime = timestampFromMs(now);
    const traceParent = beginTrace(spec);
    const job = create(JobSchema, { jobId, spec, state: JobState.PENDING, createTime, traceParent });
    if (shownSpec !== undefined) job.shownSpec = shownSpec;
    if (by === "waits")
      putPendingUntil(job, now, spec.pendingTimeout === undefined ? 0 : durationMs(spec.pendingTimeout));
    const resumeState = JobState.SETTING_UP;
    const live = new LiveJob({
      key: this.nextKey++,
      job,
      resumeState,
      events: new Map(),
      commands: [],
      traceNotes: "",
    });
    this.jobs.set(jobId, live);
    await this.commit(live, { spec: true });
    return [live, true];
  }

  /** Stores a change that has been made to a job in memory, then notifies watchers. */
  async commit(live: LiveJob, parts: ChangedParts): Promise<void> {
    if (live.abandoned) throw cannotStore("an earlier change of the job was lost");
    const { store, changes, clock, lostTimeout } = this.context;
    const { job, key } = live;
    const keepsVersion = parts.keepsVersion === true;
    if (!keepsVersion) {
      job.version = BigInt(changes.nextVersion());
      keepDeadlines(job, clock.now(), lostTimeout);
    }
    const version = Number(job.version);
    const stored = (attempt: Attempt | undefined) =>
      attempt === undefined ? undefined : { attempt, events: live.lane(attempt.attempt).accepted };
    const ended = live.takeEnded(parts.otherAttempt, parts.attempt);
    const attempt = stored(parts.attempt);
    const otherAttempt = stored(parts.otherAttempt);
    const trace = this.recorder?.(live, parts);
    const fields = { job, resumeState: live.resumeState, open: isOpen(job), spec: parts.spec === true };
    const change = {
      key,
      ...(keepsVersion ? {} : { job: fields }),
      ...(attempt === undefined ? {} : { attempt }),
      ...(otherAttempt === undefined ? {} : { otherAttempt }),
      ...(parts.commands === undefined ? {} : { commands: parts.commands }),
      ...(parts.event === undefined ? {} : { event: parts.event }),
      ...(trace === undefined ? {} : { trace }),
      urgent: parts.urgent === true,
      failed: () => void (live.abandoned ||= parts.lasting !== true),
    };
    try {
      await store.commit(change);
    } catch (error) {
      if (live.abandoned) this.abandon(live, error);
      throw cannotStore(storeProblem(error));
    }
    for (const result of ended) this.context.observer?.attemptEnded(result);
    changes.announce({ jobId: job.jobId, version, keepsVersion, deleted: false });
  }

  /** Whether this object is still the job: not when it was removed or forgotten after a caller had found it. */
  has(live: LiveJob): boolean {
    return this.jobs.get(live.id) === live;
  }

  /** Removes a job that has ended. */
  async remove(live: LiveJob): Promise<void> {
    let removal = this.removing.get(live.id);
    if (removal === undefined) {
      removal = this.removeFromStore(live).finally(() => this.removing.delete(live.id));
      this.removing.set(live.id, removal);
    }
    await removal;
  }

  private async removeFromStore(live: LiveJob): Promise<void> {
    const { store, changes } = this.context;
    const version = changes.nextVersion();
    this.jobs.delete(live.id);
    live.stream?.fail(new ConnectError(`Job "${live.id}" was deleted`, Code.NotFound));
    await live.releaseLog();
    try {
      await store.remove(live.key, live.id, version);
    } catch (error) {
      throw cannotStore(storeProblem(error));
    }
    changes.announce({ jobId: live.id, version, keepsVersion: false, deleted: true });
  }

  /** Releases what a job needed while it was busy. Must be called when the job may no longer be busy. */
  async settle(live: LiveJob): Promise<void> {
    if (!live.usesLog) await live.releaseLog();
    this.forgetIdle();
  }

  private async load(jobId: string): Promise<LiveJob | undefined> {
    // Its failure is reported to those who removed the job.
    await this.removing.get(jobId)?.catch(() => undefined);
    const stored = await this.context.store.load(jobId);
    if (stored === undefined) return undefined;
    const live = this.loaded(stored);
    this.jobs.set(jobId, live);
    this.forgetIdle();
    return live;
  }

  private loaded(stored: StoredJob): LiveJob {
    const live = new LiveJob(stored);
    if (live.attempt !== undefined) live.disconnectedAt = this.context.clock.now();
    return live;
  }

  /** Memory is ahead of the disk: forgets the job, so that the next caller finds what is on disk. */
  private abandon(live: LiveJob, error: unknown): void {
    if (this.jobs.get(live.id) !== live) return;
    this.context.logger.error("Cannot store a change", { job: live.id, error: messageOf(error) });
    this.jobs.delete(live.id);
    live.stream?.fail(new ConnectError("The tracker cannot store what it receives", Code.ResourceExhausted));
    void live.releaseLog();
  }

  /** Forgets jobs that are not busy, above a number. Not at every call, since it goes through all jobs. */
  private forgetIdle(): void {
    if (this.jobs.size <= KEPT_ENDED || ++this.sinceSweep < KEPT_ENDED / 2) return;
    this.sinceSweep = 0;
    let idle = 0;
    for (const live of this.jobs.values()) if (!live.isBusy) idle++;
    for (const live of this.jobs.values()) {
      if (idle <= KEPT_ENDED) return;
      if (live.isBusy) continue;
      this.jobs.delete(live.id);
      idle--;
    }
  }
}

function storeProblem(error: unknown): string {
  return isNoSpace(error) ? "its disk is full" : messageOf(error);
}

function cannotStore(why: string): ConnectError {
  return new ConnectError(`The tracker cannot store this: ${why}`, Code.ResourceExhausted);
}
