import type { Attempt, CommandRecord, Job, JobState } from "../../gen/belay/v1/job_pb.ts";
import type { JobFilter } from "../../gen/belay/v1/job_service_pb.ts";
import type { Command, Event } from "../../gen/belay/v1/tracker_service_pb.ts";
import type { AttemptLog } from "./log/attempt-log.ts";
import type { Points, PointsQuery } from "./points/sql-points.ts";
import type { SpanQueue } from "./span-queue.ts";
import type { TraceChange } from "./trace-change.ts";

/** Commands of a job that are shown: the latest of them. */
export const SHOWN_COMMANDS = 100;

/** A job as it is stored. */
export interface StoredJob {
  /** Number by which the store knows the job; rises with creation. */
  readonly key: number;
  /** Without commands; `attempts` as last stored. */
  readonly job: Job;
  /** State to go back to when the job is no longer LOST. */
  readonly resumeState: JobState;
  /** Committed sequence of the lane of events, by attempt. */
  readonly events: ReadonlyMap<number, number>;
  /** Oldest first: the latest 100, and every one that is not done. */
  readonly commands: readonly StoredCommand[];
  /** The latest notes of tracing. Empty: none. */
  readonly traceNotes: string;
}

/** A command with its order. */
export interface StoredCommand {
  readonly record: CommandRecord;
  readonly command: Command;
}

/** A change to one job: stored whole or not at all. Absent parts stay as they are. */
export interface Change {
  readonly key: number;
  /** The job's own fields. `job.attempts` and `job.commands` are ignored; use `attempt` and `commands`. */
  readonly job?: { readonly job: Job; readonly resumeState: JobState; readonly open: boolean; readonly spec: boolean };
  readonly attempt?: { readonly attempt: Attempt; readonly events: number };
  /** A second attempt that changes with it: the one that is superseded. */
  readonly otherAttempt?: { readonly attempt: Attempt; readonly events: number };
  readonly commands?: readonly StoredCommand[];
  readonly event?: { readonly attempt: number; readonly event: Event };
  readonly trace?: TraceChange;
  /** Whether it may use the reserve when the disk is full: it is small, and makes room or must not wait. */
  readonly urgent?: boolean;
  /** Called if it cannot be stored, before anything else can run: no later change may build on this one. */
  readonly failed?: () => void;
}

/** A job that has ended, for retention. */
export interface EndedJob {
  readonly key: number;
  readonly jobId: string;
  /** Milliseconds since the Unix epoch. */
  readonly endTime: number;
  /** Bytes of output and of metrics that are stored. */
  readonly bytes: number;
}

/** Selects a page of jobs. */
export interface JobPage {
  readonly filter: JobFilter | undefined;
  /** Only keys below it. Undefined: from the newest on. */
  readonly below: number | undefined;
  readonly limit: number;
}

/** A log that is in use. */
export interface LogHandle {
  readonly log: AttemptLog;
  /** Must be called once, when the log is no longer needed. */
  release(): Promise<void>;
}

/** Whether a store can store changes. */
export interface Condition {
  /** Why changes would be lost if they were stored now. Undefined: they would not. */
  readonly gone: string | undefined;
  /** Whether the disk is full: only what is urgent is stored. */
  readonly isFull: boolean;
  /** Calls a function after each change. @returns a function that unsubscribes */
  onChange(listener: () => void): () => void;
}

/**
 * The store of one tracker: only one uses it at a time. What a resolved promise confirms survives `kill -9`.
 */
export interface Store {
  /** Highest key and version given out before it was opened. */
  readonly highest: { readonly key: number; readonly version: number };
  readonly condition: Condition;
  /** Spans that wait for their export. */
  readonly spans: SpanQueue;
  /** Jobs that have not ended or whose log is not decided. */
  openJobs(): Promise<StoredJob[]>;
  load(jobId: string): Promise<StoredJob | undefined>;
  /** The command of this id that was stored for the job. Undefined: there was never one. */
  command(key: number, commandId: string): Promise<StoredCommand | undefined>;
  commit(change: Change): Promise<void>;
  /** Ids and keys, newest first. */
  list(page: JobPage): Promise<{ jobId: string; key: number }[]>;
  /** Changed and deleted jobs after a version, in order of version. Undefined: the version is too old. */
  changesAfter(
    version: number,
    limit: number,
  ): Promise<{ version: number; jobId: string; deleted: boolean }[] | undefined>;
  /** Jobs that have ended and whose log is decided, those that ended first at the front. */
  endedJobs(limit: number): Promise<EndedJob[]>;
  /** Bytes of output and of metrics that are stored of all jobs that have ended. */
  endedBytes(): Promise<number>;
  /** Writes and reads something. @throws if that cannot be done */
  probe(): Promise<void>;
  /** What is kept of an attempt's metrics: see `points/tiers.ts`. All of it is of one moment. */
  metrics(query: PointsQuery): Promise<Points>;
  /** @throws BelayError `STORE` if nothing of what was stored can be read */
  log(key: number, attempt: number): Promise<LogHandle>;
  /** Whether there is a file of that log. */
  hasLog(key: number, attempt: number): boolean;
  remove(key: number, jobId: string, version: number): Promise<void>;
  close(): Promise<void>;
}
