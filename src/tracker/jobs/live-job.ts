import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Attempt, CommandKind, Job, JobState, StatusReport } from "../../gen/belay/v1/job_pb.ts";
import { AttemptSchema, CommandState, JobSchema } from "../../gen/belay/v1/job_pb.ts";
import type { Command, GoodbyeReason, Receipt } from "../../gen/belay/v1/tracker_service_pb.ts";
import type { AttemptLog } from "../store/log/attempt-log.ts";
import { streamTotals } from "../store/log/totals.ts";
import type { LogHandle, StoredCommand, StoredJob } from "../store/types.ts";
import { type Shown, shownOf } from "./shown.ts";
import { isOpen } from "./states.ts";
import { SHOWN_COMMANDS } from "../store/types.ts";

/** Commands of a job that are shown: the latest of them. */

/** The stream of the session that has the job. */
export interface AgentConnection {
  readonly sessionId: string;
  /** True while we do not read since our disk is slow; the agent's silence is then our own. */
  readonly holding: boolean;
  supports(kind: CommandKind): boolean;
  send(command: Command): void;
  receipt(receipt: Receipt): void;
  /** Says why, then ends it. */
  goodbye(reason: GoodbyeReason, message: string): void;
  /** Ends it with an error. */
  fail(error: Error): void;
}

/** An answer to a status command: a report, or why there is none. */
export type StatusAnswer = { readonly report: StatusReport } | { readonly rejected: string };

/** A status command that somebody waits for. Not stored: when nobody waits any more, nobody needs the answer. */
export interface Probe {
  readonly command: Command;
  answer(answer: StatusAnswer): void;
}

/** How far a lane of events has come. */
export interface LaneProgress {
  /** Sequence up to which it is stored. */
  committed: number;
  /** Sequence up to which it has been accepted, stored or not. */
  accepted: number;
}

/**
 * A job in memory: what is stored of it, and what is true only while the tracker runs. Changed only by the functions
 * of this directory, always at once (never across an `await`) and then handed to `JobRegistry.commit`.
 */
export class LiveJob {
  readonly key: number;
  readonly job: Job;
  /** State to go back to when it is no longer LOST. */
  resumeState: JobState;
  /** By id, oldest first. */
  readonly commands: Map<string, StoredCommand>;
  readonly probes: Map<string, Probe> = new Map();
  /** What tracing had noted when it was loaded. */
  readonly traceNotes: string;
  /** Open stream of the latest attempt. */
  stream: AgentConnection | undefined;
  /** When the latest attempt's agent was last heard, in milliseconds since the Unix epoch. 0: not in this life. */
  heardAt = 0;
  /** A change of it could not be stored: what is on disk counts, and is loaded anew. */
  abandoned = false;
  /** Heartbeats in a row, since the result, in which the agent had nothing left to send. */
  idleHeartbeats = 0;
  private readonly lanes: Map<number, LaneProgress>;
  private held:
    | { readonly attempt: number; readonly handle: Promise<LogHandle>; log: AttemptLog | undefined }
    | undefined;

  constructor(stored: StoredJob) {
    this.key = stored.key;
    this.job = stored.job;
    this.resumeState = stored.resumeState;
    this.traceNotes = stored.traceNotes;
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

  /** How it is shown to callers. */
  get shown(): Shown {
    return shownOf(this.job);
  }

  /** The job as it is at this moment, as callers see it. Shares parts with this one: to be sent, not to be kept. */
  snapshot(): Job {
    const { log } = this;
    const { spec, shownSpec: _, ...job } = this.job;
    const attempts = [...job.attempts];
    const last = attempts.pop();
    if (last !== undefined) {
      attempts.push(
        create(AttemptSchema, {
          ...last,
          connected: this.stream !== undefined,
          ...(this.heardAt === 0 ? {} : { lastHeardTime: timestampFromMs(this.heardAt) }),
          ...(log === undefined ? {} : { stored: streamTotals(log.committed) }),
        }),
      );
    }
    const commands = [...this.commands.values()].slice(-SHOWN_COMMANDS).map(({ record }) => record);
    const snapshot = this.shown.message(JobSchema, create(JobSchema, { ...job, attempts, commands }));
    if (spec !== undefined) snapshot.spec = this.shown.spec;
    return snapshot;
  }

  /** Whether it has to stay in memory. */
  get isBusy(): boolean {
    return this.stream !== undefined || isOpen(this.job) || this.probes.size > 0;
  }
}
