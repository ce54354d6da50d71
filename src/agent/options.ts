import type { MessageInitShape } from "@bufbuild/protobuf";
import type { JobSpecSchema } from "../gen/belay/v1/job_pb.ts";
import type { Inherited } from "../base/process/inherited.ts";
import type { Logger } from "../base/logger.ts";
import type { JobResult } from "../gen/belay/v1/job_pb.ts";

/** How an agent tracks and kills its job's processes; `auto` is the best that the machine allows. */
export type ContainmentChoice = "auto" | "cgroup" | "process-group";

/** What an agent does while the tracker is unreachable. */
export type OnDisconnect =
  | { readonly kind: "continue" }
  /** Ends the job after this many milliseconds without a stream. */
  | { readonly kind: "cancel-after"; readonly ms: number };

/**
 * What a stop of the agent means for its job, and so the class of its end: `preempted` when the machine is needed for
 * something else, `ordered` when a person or a program wants the job to end.
 */
export type StopKind = "preempted" | "ordered";

/** A reason to abort `AgentOptions.stop` with: an object, such as an Error, that has this property. */
export interface StopReason {
  readonly stopKind: StopKind;
}

/** How agent and tracker prove to each other who they are. */
export interface TransportSecurity {
  /** Path of a file with a bearer token; read again for each stream. Absent: none is sent. */
  readonly tokenFile?: string;
  /** CA certificates (PEM) that verify the tracker. Absent: the system's. */
  readonly ca?: Buffer;
  /** PEM of the agent's own certificate, with `key`. Absent: none is shown. */
  readonly cert?: Buffer;
  /** PEM of the certificate's private key. */
  readonly key?: Buffer;
  /** Path of a file with `ca`; read and checked again for each stream, as certificates are renewed while jobs run. */
  readonly caFile?: string;
  /** The same for `cert`, with `keyFile`. */
  readonly certFile?: string;
  /** The same for `key`. */
  readonly keyFile?: string;
  /** Allows a token in plaintext to another machine. @default false */
  readonly insecure?: boolean;
}

/**
 * Options of an agent. Times are milliseconds, sizes bytes. A function that throws, or whose promise is rejected, is not
 * called again; the job goes on, its log says so, and `runAgent` throws a CallbackError when all is over.
 */
export interface AgentOptions {
  /** `http://host:port`, `https://host:port` or `unix:/path`; several with commas are tried in turn. */
  readonly tracker: string;
  /** Id of the job, see `Job.job_id` of the contract. */
  readonly jobId: string;
  /**
   * What to run: a JobSpec, or the fields of one, such as `{ command: ["ls"] }`. Absent: the agent asks the tracker for
   * it. Given: it never runs anything else.
   */
  readonly spec?: MessageInitShape<typeof JobSpecSchema>;
  /** Facts about this agent for users and filters. @default none */
  readonly labels?: Record<string, string>;
  readonly security?: TransportSecurity;
  /** Bounds the time to the first Welcome, refusals that may be retried included. 0: no bound. @default 60_000 */
  readonly connectTimeout?: number;
  /** Longest time for delivery after the job has ended. @default 300_000 */
  readonly flushTimeout?: number;
  /** The same when the agent was asked to stop. @default 10_000, or `flushTimeout` if that is shorter */
  readonly stopFlushTimeout?: number;
  /** @default continue */
  readonly onDisconnect?: OnDisconnect;
  /** Directory for what the spool cannot hold in memory. Absent: memory only. */
  readonly spoolDirectory?: string;
  /** Most bytes that wait for delivery, in memory and on disk. @default 1 GiB */
  readonly spoolLimit?: number;
  /** `block`: the job waits. `drop`: the oldest output goes, recorded as a gap. @default "block" */
  readonly onSpoolFull?: "block" | "drop";
  /**
   * Where the agent serves its own pages, `/healthz`, `/readyz` and `/metrics`, over HTTP: `host:port` or `unix:/path`.
   * Beyond this machine only with `security.insecure`. Absent: nowhere.
   */
  readonly admin?: string;
  /** @default "auto" */
  readonly containment?: ContainmentChoice;
  /**
   * Called with each piece of the job's output as it is read. The bytes are valid during the call. If it returns a promise,
   * the job's output is not read until that resolves. Once the job is ending, its promises are not waited for, so that it
   * never delays the end; steps after the end wait for them until one takes longer than a second.
   */
  readonly onOutput?: (stream: "stdout" | "stderr", data: Uint8Array) => void | Promise<void>;
  /**
   * Returns how many of the bytes that `onOutput` received have not reached their destination, because its reader is slow.
   * Called when the output is complete; the numbers are noted in the job's log. @default 0 of each
   */
  readonly outputBehind?: () => { readonly stdout: number; readonly stderr: number };
  /** Called with a sentence for users when something has happened: connected, lost the tracker, job started. */
  readonly onProgress?: (message: string) => void;
  /** @default silent */
  readonly logger?: Logger;
  /** Environment that the job starts from, before the spec's. @default process.env */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /**
   * What this process was started with and Node has changed; the job is started with it. `belay run` knows it; Node
   * itself has no trace of it. @default as Node has left it
   */
  readonly inherited?: Inherited;
  /**
   * Aborting it stops the agent: the job is ended with AGENT_STOPPED. Its class is ORDERED if the signal's reason is a
   * `StopReason` that says so, or `onStop` is "end", and else PREEMPTED.
   */
  readonly stop?: AbortSignal;
  /**
   * What a stop does to the job: `end` makes each stop an order, which ends the job; `requeue` insists on another attempt,
   * and needs a retry policy that has one left. Absent: the job goes on with its next attempt if `stop` was not ordered and
   * the policy has one left, else it ends.
   */
  readonly onStop?: "end" | "requeue";
  /**
   * Whether the caller knows that the job's agent is dead: its attempt is then superseded at once, not only when its
   * lease has run out. @default false
   */
  readonly takeOver?: boolean;
  /**
   * What a stop leaves to the steps after the end, all of them together: those that it does not suffice for do not run, and
   * the result names them. 0: none runs. @default 20_000
   */
  readonly stopBudget?: number;
  /** Aborting it, after `stop`, skips the grace period and the steps after the end. */
  readonly stopNow?: AbortSignal;
  /**
   * Signals that this program receives and the job must have. Called once for each attempt, with a function that sends a signal to the job's
   * processes and notes it in the job's log; returns a function that ends that. @default no signals
   */
  readonly signals?: (pass: (signal: NodeJS.Signals) => void) => () => void;
}

/** The attempt that follows, by the job's retry policy, one that did not succeed. */
export interface NextAttempt {
  readonly attempt: number;
  /** How many attempts the policy allows. */
  readonly of: number;
  /** Milliseconds from the end of the attempt before it to its earliest start. */
  readonly delay: number;
  /** When it may start, by the tracker's clock. Absent: at once, or the tracker has not confirmed it. */
  readonly from?: Date;
}

/** How an attempt of a job under an agent ended. */
export interface AgentOutcome {
  readonly attempt: number;
  readonly result: JobResult;
  /** Whether the tracker has confirmed the result and the whole log. */
  readonly delivered: boolean;
  /** What was not delivered and why, for users. Empty if everything was. */
  readonly undelivered: string;
  /**
   * Undelivered bytes that are lost because no spool directory keeps them: the agent has no directory, or its disk
   * failed. 0 if everything was delivered.
   */
  readonly lostBytes: number;
  /** The attempt that follows: the job has not ended, but waits for it. Absent: the job has ended. */
  readonly next?: NextAttempt;
  /**
   * Whether nothing was run: an agent before this one died when the job had ended, and what it left in the spool
   * directory is delivered now. `attempt` and `result` are that agent's. @default false
   */
  readonly endedBefore?: boolean;
}

/** Options of an agent that runs one attempt of its job after the other. */
export interface AttemptsOptions extends AgentOptions {
  /** Called with the outcome of each attempt that is followed by another one here, before that one is waited for. */
  readonly onAttempt?: (outcome: AgentOutcome) => void;
}

/** How the last attempt that was run here ended. */
export interface AttemptsOutcome extends AgentOutcome {
  /**
   * Why `next` could not begin here, for users. Absent: the agent did not try, since it had to stop or could not deliver
   * the attempt before.
   */
  readonly notContinued?: string;
}
