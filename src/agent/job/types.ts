import type { Inherited } from "../../base/process/inherited.ts";
import type { Logger } from "../../base/logger.ts";
import type {
  Containment,
  EndReason,
  FailureClass,
  JobResult,
  JobSpec,
  JobState,
  MetricSample,
  ProcessInfo,
} from "../../gen/belay/v1/job_pb.ts";
import type { StepEnded, StepStarted } from "../../gen/belay/v1/tracker_service_pb.ts";
import type { ContainmentChoice } from "../options.ts";
import type { OutputSink } from "../output-sink.ts";
import type { PreparedJob } from "./start/prepare.ts";
import type { ProcessEntry } from "./tree/proc.ts";

/** What is needed to run a job. */
export interface JobOptions {
  readonly jobId: string;
  readonly attempt: number;
  /** Checked already: see `compileSpec`. */
  readonly spec: JobSpec;
  /** Environment that the job starts from; credentials of the agent are removed here. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The job's place in a trace; the spec's own environment wins over it. */
  readonly traceEnvironment?: Readonly<Record<string, string>>;
  /** The tracker's address, which the job may know; its credentials it may not. */
  readonly tracker?: string;
  /** Variables that the agent adds; they win over all others. */
  readonly ownEnvironment?: Readonly<Record<string, string>>;
  /** What the agent was started with, for the job to have, too. */
  readonly inherited?: Inherited;
  readonly containment: ContainmentChoice;
  /** Milliseconds that a stop of the agent leaves to the steps after the end, all together. 0: none of them runs. */
  readonly stopBudget: number;
  /**
   * Whether the agent may be asked to stop. An end of the job that comes shortly before such a stop is then attributed to
   * it, and the result waits for that time. @default false
   */
  readonly mayBeStopped?: boolean;
  readonly logger: Logger;
  /** Made by `prepareJob` earlier, in parallel with something else; the job closes it. Absent: the job makes its own. */
  readonly prepared?: PreparedJob;
}

/** What a job reports. Calls come in order, and never after `Job.done` has resolved. */
export interface JobHandlers {
  state(state: JobState, message: string): void;
  stepStarted(step: StepStarted): void;
  stepEnded(step: StepEnded): void;
  /** A sample of what the job uses: one follows each step's start and end. */
  usage?(sample: MetricSample): void;
  /** Accepts what the job wrote. When it returns false, reading of both streams stops until `Job.resumeOutput`. */
  readonly output: OutputSink;
  /** A step that is not the last has ended, and its output was read. The next step waits for this. */
  stepOver?(): Promise<void> | undefined;
  /**
   * It is decided how the job ends, by itself or on an order: only the log may delay its output from now on. Called
   * once.
   */
  ending?(): void;
  /** All output has been read. What was prepared for the job, such as its directory, is released afterwards. */
  outputEnded?(): Promise<void> | void;
  /** A remark about the job, for its log. */
  notice(step: number, message: string): void;
}

/** An order to end a job: why and how. */
export interface EndOrder {
  readonly reason: EndReason;
  /** One sentence for the result. */
  readonly message: string;
  /** The cancel command, if it was one. */
  readonly commandId?: string;
  /** Bounds the whole end, from now to SIGKILL, in milliseconds. 0: SIGKILL at once. @default as the spec says */
  readonly grace?: number;
  /** What a stop of the agent means. @default PREEMPTED */
  readonly failureClass?: FailureClass;
}

/**
 * Where a signal that does not end the job comes from: a command from the tracker, the agent, which received that signal
 * itself, or the agent's warning of an end that comes.
 */
export type SignalSource = "command" | "agent" | "warning";

/** What a job is doing now. */
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
  vitals(): Vitals;
  /** Undefined: no process has decided the result by its own end. */
  readonly ownEnd: OwnEnd | undefined;
}

/** What is known, besides its exit status, about the process that decided the result by its own end. */
export interface OwnEnd {
  readonly pid: number;
  /** Processes of the job that were killed because memory ran out. Undefined: not known for the job alone. */
  readonly oomKills: number | undefined;
  /** Whether such kills are counted, for the job or for the cgroup that it shares with the agent. */
  readonly oomIsCounted: boolean;
  /** Who asked for the signal that ended it. Undefined: no signal did, or Belay did not send it. */
  readonly sentBy: SignalSource | undefined;
}

/** What shows whether a job is alive. */
export interface Vitals {
  /** Milliseconds since the job printed something. 0 while its output is not read: then it is not the job that is silent. */
  readonly outputSilence: number;
  /** Measures the processor time used so far, in seconds. */
  cpuSeconds(): number;
  /** Finds the processes that are alive. */
  members(): ProcessEntry[];
}
