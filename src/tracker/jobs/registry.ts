import { ConnectError, Code } from "@connectrpc/connect";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import type { Logger } from "../../base/logger.ts";
import type { Attempt, JobSpec } from "../../gen/belay/v1/job_pb.ts";
import { JobSchema, JobState } from "../../gen/belay/v1/job_pb.ts";
import type { Event } from "../../gen/belay/v1/tracker_service_pb.ts";
import type { TraceChange } from "../store/trace-change.ts";
import { isNoSpace } from "../store/condition.ts";
import type { Store, StoredCommand } from "../store/types.ts";
import { LiveJob } from "./live-job.ts";
import { isOpen } from "./states.ts";
import { beginTrace } from "./trace.ts";

/** Ended jobs that stay in memory after the last look at them. */
const KEPT_ENDED = 500;

/** Parts of a job that have changed. */
export interface Touched {
  /** The spec, which goes with a new job or a new attempt only. */
  readonly spec?: boolean;
  readonly attempt?: Attempt;
  readonly otherAttempt?: Attempt;
  readonly commands?: readonly StoredCommand[];
  readonly event?: { readonly attempt: number; readonly event: Event };
  /** True: only samples; not a change that watchers are told of. */
  readonly quiet?: boolean;
  /** True: it is small, and is stored even when the disk is full. */
  readonly urgent?: boolean;
  /**
   * True: the job in memory stays as it is although the change could not be stored, since what changed is stored with
   * a later change as well.
   */
  readonly lasting?: boolean;
}

/** A change to a job. `sampled`: it only has new metrics; its version is the one before. */
export interface JobChange {
  readonly jobId: string;
  readonly version: number;
  readonly kind: "changed" | "sampled" | "deleted";
}

/** Told of each change before it is stored, at once after it was made; adds what is to be stored with it. */
export type Recorder = (live: LiveJob, touched: Touched) => TraceChange | undefined;

/** Told of each change, once it is stored. */
export type ChangeListener = (change: JobChange) => void;

/** All jobs: the one place that loads, makes, stores and removes them. */
export class JobRegistry {
  readonly store: Store;
  readonly clock: Clock;
  /** Makes spans of what happens. Undefined: nobody wants any. */
  recorder: Recorder | undefined;
  private readonly logger: Logger;
  private readonly jobs = new Map<string, LiveJob>();
  private readonly loading = new Map<string, Promise<LiveJob | undefined>>();
  private readonly listeners = new Set<ChangeListener>();
  private nextKey: number;
  private lastVersion: number;
  private sinceSweep = 0;

  constructor(store: Store, clock: Clock, logger: Logger) {
    this.store = store;
    this.clock = clock;
    this.logger = logger;
    this.nextKey = store.highest.key + 1;
    this.lastVersion = store.highest.version;
  }

  /** Version of the latest change of all. */
  get version(): number {
    return this.lastVersion;
  }

  /** Loads every job that may still change. */
  async open(): Promise<LiveJob[]> {
    const open = (await this.store.openJobs()).map((stored) => new LiveJob(stored));
    for (const live of open) {
      this.jobs.set(live.id, live);
      if (live.attempt === undefined) continue;
      try {
        await live.openLog((attempt) => this.store.log(live.key, attempt));
      } catch (error) {
        // The other jobs go on; this one's agent and readers are told when they come.
        this.logger.error("Cannot open a log", { job: live.id, error: messageOf(error) });
      }
    }
    return open;
  }

  /** Jobs in memory: all that may still change, and some others. */
  inMemory(): Iterable<LiveJob> {
    return this.jobs.values();
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
   * Makes a job unless there is one of this id by now. The second value is false if there was.
   *
   * @param shownSpec as `Hello.shown_spec`
   */
  async create(jobId: string, spec: JobSpec, shownSpec?: JobSpec): Promise<[LiveJob, boolean]> {
    const there = await this.find(jobId);
    // Between that answer and here, no other call had a turn to make it.
    const other = there ?? this.jobs.get(jobId);
    if (other !== undefined) return [other, false];
    const createTime = timestampFromMs(this.clock.now());
    const traceParent = beginTrace(spec);
    const job = create(JobSchema, { jobId, spec, state: JobState.PENDING, createTime, traceParent });
    if (shownSpec !== undefined) job.shownSpec = shownSpec;
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

  /** Stores a change that has been made to a job in memory, then tells watchers. */
  async commit(live: LiveJob, touched: Touched): Promise<void> {
    if (live.abandoned) throw cannotStore("an earlier change of the job was lost");
    const { job, key } = live;
    const quiet = touched.quiet === true;
    if (!quiet) job.version = BigInt(++this.lastVersion);
    const version = Number(job.version);
    const stored = (attempt: Attempt | undefined) =>
      attempt === undefined ? undefined : { attempt, events: live.lane(attempt.attempt).taken };
    const attempt = stored(touched.attempt);
    const otherAttempt = stored(touched.otherAttempt);
    const trace = this.recorder?.(live, touched);
    const change = {
      key,
      ...(quiet ? {} : { job: { job, resumeState: live.resumeState, open: isOpen(job), spec: touched.spec === true } }),
      ...(attempt === undefined ? {} : { attempt }),
      ...(otherAttempt === undefined ? {} : { otherAttempt }),
      ...(touched.commands === undefined ? {} : { commands: touched.commands }),
      ...(touched.event === undefined ? {} : { event: touched.event }),
      ...(trace === undefined ? {} : { trace }),
      urgent: touched.urgent === true,
      failed: () => void (live.abandoned ||= touched.lasting !== true),
    };
    try {
      await this.store.commit(change);
    } catch (error) {
      if (live.abandoned) this.giveUp(live, error);
      throw cannotStore(whyNot(error));
    }
    this.announce({ jobId: job.jobId, version, kind: quiet ? "sampled" : "changed" });
  }

  /** Removes a job that has ended. */
  async remove(live: LiveJob): Promise<void> {
    const version = ++this.lastVersion;
    this.jobs.delete(live.id);
    live.stream?.fail(new ConnectError(`Job "${live.id}" was deleted`, Code.NotFound));
    await live.releaseLog();
    try {
      await this.store.remove(live.key, live.id, version);
    } catch (error) {
      throw cannotStore(whyNot(error));
    }
    this.announce({ jobId: live.id, version, kind: "deleted" });
  }

  /** @returns ends it */
  onChange(listener: ChangeListener): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /** Lets go of what a job needed while it was busy. To be called when it may no longer be. */
  async settle(live: LiveJob): Promise<void> {
    if (!live.isBusy) await live.releaseLog();
    this.forgetSome();
  }

  private announce(change: JobChange): void {
    for (const listener of this.listeners) listener(change);
  }

  private async load(jobId: string): Promise<LiveJob | undefined> {
    const stored = await this.store.load(jobId);
    if (stored === undefined) return undefined;
    const live = new LiveJob(stored);
    this.jobs.set(jobId, live);
    this.forgetSome();
    return live;
  }

  /** Memory is ahead of the disk: forget the job, so that whoever comes next finds what is on disk. */
  private giveUp(live: LiveJob, error: unknown): void {
    if (this.jobs.get(live.id) !== live) return;
    this.logger.error("Cannot store a change", { job: live.id, error: messageOf(error) });
    this.jobs.delete(live.id);
    live.stream?.fail(new ConnectError("The tracker cannot store what it receives", Code.ResourceExhausted));
    void live.releaseLog();
  }

  /** Looks at all jobs, so not each time it is asked. */
  private forgetSome(): void {
    if (this.jobs.size <= KEPT_ENDED || ++this.sinceSweep < KEPT_ENDED / 2) return;
    this.sinceSweep = 0;
    let spare = 0;
    for (const live of this.jobs.values()) if (!live.isBusy) spare++;
    for (const live of this.jobs.values()) {
      if (spare <= KEPT_ENDED) return;
      if (live.isBusy) continue;
      this.jobs.delete(live.id);
      spare--;
    }
  }
}

function whyNot(error: unknown): string {
  return isNoSpace(error) ? "its disk is full" : messageOf(error);
}

function cannotStore(why: string): ConnectError {
  return new ConnectError(`The tracker cannot store this: ${why}`, Code.ResourceExhausted);
}
