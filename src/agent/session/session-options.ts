import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import type { TrackerAddress } from "../../base/network/tracker-address.ts";
import type { AgentInfo, JobSpec, JobState } from "../../gen/belay/v1/job_pb.ts";
import type { Command } from "../../gen/belay/v1/tracker_service_pb.ts";
import type { TransportSecurity } from "../options.ts";
import type { Spool } from "../report/spool.ts";
import type { SessionState } from "./session-state.ts";

/** What identifies a session. */
export interface SessionIdentity {
  readonly sessionId: string;
  readonly jobId: string;
  readonly agent: AgentInfo;
  readonly spec: JobSpec | undefined;
  /** The spec as others may see it; the same one if there is no secret in it. @default `spec` */
  readonly shownSpec?: JobSpec | undefined;
  /** Attempt that an agent before had under this session id. @default 0: none yet */
  readonly attempt?: number;
  /** It delivers what a dead agent left, and this machine will run the next attempt: see Hello. @default false */
  readonly nextAttemptFollows?: boolean;
  /** It only delivers what a dead agent left: see Hello. @default false */
  readonly deliversOnly?: boolean;
  /** The job's agent is known to be dead: see Hello. @default false */
  readonly takeOver?: boolean;
}

/** What a session asks and reports. */
export interface SessionHandlers {
  /** State of the job, for Hello and heartbeats. */
  jobState(): JobState;
  command(command: Command): void;
  /** Called with each heartbeat. @param ms longest time for which the event loop was blocked since the one before */
  loopDelay?(ms: number): void;
  /** A stream is open. */
  connected(address: string, first: boolean): void;
  /** A stream was lost; the next is dialed after some milliseconds. */
  lost(why: string, retryIn: number): void;
  /** The tracker has the session wait, since the job's next attempt may not start yet. Called once. */
  postponed?(why: string): void;
  /** The attempt was taken over or the job ended: kill it. */
  fenced(message: string): void;
}

/** The state of a session in numbers. */
export interface SessionHealth {
  readonly state: SessionState;
  /** Whether a tracker has welcomed the stream that is open. */
  readonly connected: boolean;
  /** 0: none yet. */
  readonly attempt: number;
  /** Dialed so far, the current one included. */
  readonly streams: number;
  /** Longest time for which the event loop was blocked within about two heartbeats. Milliseconds. */
  readonly loopDelay: number;
}

/** Options of a session. */
export interface SessionOptions {
  readonly identity: SessionIdentity;
  readonly addresses: readonly TrackerAddress[];
  readonly security: TransportSecurity;
  /** Milliseconds to the first Welcome. 0: no bound. */
  readonly connectTimeout: number;
  /**
   * Milliseconds after which the session's attempt may start, as far as the agent knows. If given, even as 0, the time
   * for which the job's retry policy has the session wait does not count in `connectTimeout`. Absent: all time counts.
   */
  readonly startsIn?: number | undefined;
  readonly spool: Spool;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly handlers: SessionHandlers;
}
