import type { Attempt, Job, JobResult, JobState } from "../../gen/belay/v1/job_pb.ts";
import { CommandState } from "../../gen/belay/v1/job_pb.ts";
import type { AttemptLog } from "../store/log/attempt-log.ts";
import { streamTotals } from "../store/log/totals.ts";
import { isLogClosed } from "../store/rows.ts";
import type { LogHandle, StoredCommand, StoredJob } from "../store/types.ts";
import type { AgentConnection, Probe } from "./agent-connection.ts";
import { isOpen } from "./states.ts";

/** How far a lane of events has come. */
export interface LaneProgress {
  /** Sequence up to which it is stored. */
  committed: number;
  /** Sequence up to which it has been accepted, stored or not. */
  accepted: number;
}

/**
 * A job in memory: its stored fields, and what is true only while the tracker runs. Only the functions of this
 * directory change it. A change never spans an `await`, and is then passed to `JobRegistry.commit`.
 */
export class LiveJob {
  readonly key: number;
  readonly job: Job;
  /** State to go back to when it is no longer LOST. */
  resumeState: JobState;
  /** By id, oldest first. */
  readonly commands: Map<string, StoredCommand>;
  readonly probes: Map<string, Probe> = new Map();
  /** The stored notes of tracing, as they were when the job was loaded. */
  readonly traceNotes: string;
  /** Open stream of the latest attempt. */
  stream: AgentConnection | undefined;
  /** How many streams are about to become `stream`. */
  attaching = 0;
  /** When the latest attempt's agent was last heard, in milliseconds since the Unix epoch. 0: not since the tracker
   * started. */
  heardAt = 0;
  /** Since when the latest attempt has had no stream, in milliseconds since the Unix epoch: the end of its last one, or
   * the start of the tracker. Undefined: it has one, or there is no attempt, or its first stream is about to begin. */
  disconnectedAt: number | undefined = undefined;
  /** A change could not be stored: what is on disk counts, and must be loaded again. */
  abandoned = false;
  /** Heartbeats in a row, since the result, in which the agent had nothing left to send. */
  idleHeartbeats = 0;
  /** The latest attempt whose end is reported: see `takeEnded`. */
  private endReported: number;
  private readonly lanes: Map<number, LaneProgress>;
  private held:
    | { readonly attempt: number; readonly handle: Promise<LogHandle>; log: AttemptLog | undefined }
    | undefined;

  constructor(stored: StoredJob) {
    this.key = stored.key;
    this.job = stored.job;
    this.resumeState = stored.resumeState;
    this.traceNotes = stored.traceNotes;
    this.endReported = this.job.attempts.findLast(({ result }) => result !== undefined)?.attempt ?? 0;
    this.commands = new Map(stored.commands.map((command) => [command.record.commandId, command]));
    this.lanes = new Map(
      [...stored.events].map(([attempt, events]) => [attempt, { committed: events, accepted: events }]),
    );
  }

  get id(): string {
    return this.job.jobId;
  }

  /** The latest attempt: the only one that anything is accepted from. */
  get attempt(): Attempt | undefined {
    return this.job.attempts.at(-1);
  }

  /** The results of those of these attempts, in order, that no earlier call has returned. */
  takeEnded(...attempts: readonly (Attempt | undefined)[]): JobResult[] {
    const results: JobResult[] = [];
    for (const attempt of attempts) {
      if (attempt?.result === undefined || attempt.attempt <= this.endReported) continue;
      this.endReported = attempt.attempt;
      results.push(attempt.result);
    }
    return results;
  }

  lane(attempt: number): LaneProgress {
    let lane = this.lanes.get(attempt);
    if (lane === undefined) {
      lane = { committed: 0, accepted: 0 };
      this.lanes.set(attempt, lane);
    }
    return lane;
  }

  /** The latest attempt's log, if it is open. */
  get log(): AttemptLog | undefined {
    return this.held?.attempt === this.attempt?.attempt ? this.held?.log : undefined;
  }

  /** Opens the latest attempt's log and keeps it open until `releaseLog`. */
  async openLog(open: (attempt: number) => Promise<LogHandle>): Promise<AttemptLog> {
    const attempt = this.attempt?.attempt ?? 0;
    if (this.held?.attempt !== attempt) {
      void this.releaseLog();
      this.held = { attempt, handle: open(attempt), log: undefined };
    }
    const { held } = this;
    try {
      held.log = (await held.handle).log;
      return held.log;
    } catch (error) {
      if (this.held === held) this.held = undefined;
      throw error;
    }
  }

  async releaseLog(): Promise<void> {
    const { held } = this;
    this.held = undefined;
    if (held?.log !== undefined) this.keepTotals(held.attempt, held.log);
    await held?.handle.then((handle) => handle.release()).catch(() => undefined);
  }

  /** Copies what the log holds into the attempt, so that it is stored and shown with it. */
  keepTotals(attempt: number = this.attempt?.attempt ?? 0, log: AttemptLog | undefined = this.log): void {
    const found = this.job.attempts.find((candidate) => candidate.attempt === attempt);
    if (found !== undefined && log !== undefined) found.stored = streamTotals(log.committed);
  }

  /** Commands that the agent has not finished, oldest first. */
  get pendingCommands(): StoredCommand[] {
    return [...this.commands.values()].filter(({ record }) => record.state < CommandState.COMPLETED);
  }

  /** Whether the log of the latest attempt may still grow. A job may wait for its next attempt for days. */
  get usesLog(): boolean {
    const { attempt } = this;
    return this.stream !== undefined || this.attaching > 0 || (attempt !== undefined && !isLogClosed(attempt));
  }

  /** Whether the job must stay in memory. */
  get isBusy(): boolean {
    return this.stream !== undefined || isOpen(this.job) || this.probes.size > 0;
  }
}
