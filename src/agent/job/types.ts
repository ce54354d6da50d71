import type { Inherited } from "../../base/inherited.ts";
import type { Logger } from "../../base/logger.ts";
import type {
  Containment,
  EndReason,
  JobResult,
  JobSpec,
  JobState,
  LogStream,
  MetricSample,
  ProcessInfo,
} from "../../gen/belay/v1/job_pb.ts";
import type { StepEnded, StepStarted } from "../../gen/belay/v1/tracker_service_pb.ts";
import type { ContainmentChoice } from "../options.ts";
import type { PreparedJob } from "./start/prepare.ts";

/** What the job room needs to run a job. */
export interface JobOptions {
  readonly jobId: string;
  readonly attempt: number;
  /** Checked already: see `compileSpec`. */
  readonly spec: JobSpec;
  /** Environment that the job starts from; credentials of the agent are removed here. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Where the job stands in a trace; the spec's own environment wins over it. */
  readonly traceEnvironment?: Readonly<Record<string, string>>;
  /** The tracker's address, which the job may know; its credentials it may not. */
  readonly tracker?: string;
  /** What the agent lets the job know besides; wins over all else. */
  readonly ownEnvironment?: Readonly<Record<string, string>>;
  /** What the agent was started with, for the job to have, too. */
  readonly inherited?: Inherited;
  readonly containment: ContainmentChoice;
  readonly logger: Logger;
  /** Made by `prepareJob` earlier, in parallel with something else; the job closes it. Absent: the job makes its own. */
  readonly prepared?: PreparedJob;
}

/** What the job room tells about a job. Calls come in order, never after `Job.done` has resolved. */
export interface JobHandlers {
  state(state: JobState, message: string): void;
  stepStarted(step: StepStarted): void;
  stepEnded(step: StepEnded): void;
  /** Takes a sample of what the job uses: one follows each step's start and end, and one comes at each interval. */
  usage?(sample: MetricSample): void;
  /**
   * Takes bytes that the job wrote. They are valid only during the call.
   *
   * @returns false when no more can be taken: reading of both streams stops until `Job.resumeOutput`
   */
  output(stream: LogStream, step: number, data: Uint8Array, readUnixNano: bigint): boolean;
  /** A step that is not the last has ended, and its output was taken. The next one waits for this. */
  stepOver?(): Promise<void> | undefined;
  /**
   * It is decided how the job ends, by itself or on an order: nothing but the log may hold up its output from now on. Called
   * once.
   */
  ending?(): void;
  /** All output has been taken. What was prepared for the job, its directory among it, is given back after this. */
  outputEnded?(): Promise<void> | void;
  /** Takes a remark about the job that belongs into its log. */
  notice(step: number, message: string): void;
}

/** Why and how a job is to be ended. */
export interface EndOrder {
  readonly reason: EndReason;
  /** One sentence for the result. */
  readonly message: string;
  /** The cancel command, if it was one. */
  readonly commandId?: string;
  /** Milliseconds between stop signal and SIGKILL. @default the spec's */
  readonly grace?: number;
}

/** Who asked for a signal: a command from the tracker, or the agent, which received that signal itself. */
export type SignalSource = "command" | "agent";

/** How a job stands. */
export interface JobStatus {
  readonly state: JobState;
  /** Step being run; 0: none. */
  readonly step: number;
  readonly pid: number;
  /** Milliseconds since the step started. */
  readonly stepDuration: number;
  /** At most 100. */
  readonly processes: ProcessInfo[];
  readonly processCount: number;
  readonly endReason: EndReason;
}

/**
 * A job that has been started.
 *
 * Its law: when `done` resolves, no process of the job is alive, or each that is stands in the result's evidence;
 * everything read from the job's pipes has gone to `output`; and the result names the first cause of the end.
 */
export interface Job {
  readonly containment: Containment;
  /** Why containment is not better; empty if it is the best. */
  readonly containmentMessage: string;
  /** All of the result but `streams`. Never rejects. */
  readonly done: Promise<JobResult>;
  readonly state: JobState;
  /** Orders the end. The first order decides the reason; a later one may only shorten the grace period. */
  end(order: EndOrder): void;
  /**
   * Sends a signal to every process of the job.
   *
   * @param source who asked for it; default: a command
   * @returns how many it was sent to
   * @throws BelayError whose message names the job's state, when nothing runs or the signal's name is unknown
   */
  signal(name: string, source?: SignalSource): Promise<number>;
  /** Stops every process. @throws BelayError whose message names the job's state, when it is not RUNNING */
  pause(): Promise<void>;
  /** Undoes `pause`. @throws BelayError whose message names the job's state, when it is not PAUSED */
  resume(): Promise<void>;
  status(): Promise<JobStatus>;
  /** Measures what the job uses now. Undefined when nothing runs. */
  sample(): Promise<MetricSample | undefined>;
  /** Goes on reading after `output` returned false. */
  resumeOutput(): void;
}
