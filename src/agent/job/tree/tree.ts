import type { Signal } from "../../../base/process/signals.ts";
import type { Containment } from "../../../gen/belay/v1/job_pb.ts";
import type { ProcessEntry } from "./proc.ts";
import type { ProcessIo } from "./process-io.ts";

/** What a tree has used so far. */
export interface TreeUsage {
  /** Processor seconds since the start of the job, ended processes included. */
  readonly cpuSeconds: number;
  readonly memoryBytes: number;
  /** Most memory at one time, as far as known. */
  readonly peakMemoryBytes: number;
  /** Zombies left out. */
  readonly processes: number;
  /** Undefined: not known. */
  readonly threads: number | undefined;
  /** Whether processor time and peak come from the kernel's own counters. */
  readonly exact: boolean;
}

/** Facts about a tree that take longer to read. Undefined: not known. */
export interface TreeDetails {
  /** Pids of the processes that exist. */
  readonly pids: readonly number[];
  readonly openFiles: number | undefined;
  /** Bytes from and to storage since the start of the job, ended processes included. */
  readonly disk: ProcessIo | undefined;
  readonly pressure: Readonly<Record<"cpu" | "memory" | "io", number | undefined>>;
}

/**
 * Every process that a job makes, whatever the containment.
 *
 * Its law: a process that `start` started, and each that descends from it, is a member until it is dead, as completely
 * as `containment` promises. Pid and start time identify a member; zombies do not count. Calls are synchronous: no
 * other code of this process runs between a scan and a signal.
 */
export interface ProcessTree {
  readonly containment: Containment;
  /**
   * Announces that `start` will follow soon, so that the tree prepares for it off the event loop.
   *
   * @param rehearsalPid returns the pid of an agent's process that is not the job's; nothing happens to it
   */
  expectStart?(rehearsalPid: () => number): void;
  /**
   * Registers a function that is called when the members outside the groups of `adopt` change: a watcher of only
   * those groups does not find them. Absent: the tree can be killed without knowing its members.
   */
  onStrays?(report: (strays: readonly ProcessEntry[]) => void): void;
  /** Runs a function that starts a process, such that the process belongs to the tree from its first instruction. */
  start<T>(spawn: () => T): T;
  /** Registers a process that `start` has started, the leader of its own process group. */
  adopt(pid: number): void;
  /** Makes members of processes that another search found to be the job's. */
  claim(entries: readonly ProcessEntry[]): void;
  /** The members that are alive now. */
  members(): ProcessEntry[];
  /** Whether no member is alive. Cheaper than `members`. */
  isEmpty(): boolean;
  /**
   * Sends a signal to each member.
   *
   * @param wake continues stopped members: they handle the signal only when they run
   * @returns how many members got the signal
   */
  signal(signal: Signal, wake?: "wake"): number;
  /**
   * Sends SIGKILL to all members, frozen or not. Processes born meanwhile may need another call.
   *
   * @returns the members found, also those that an earlier call has killed and that have not ended yet
   */
  kill(): ProcessEntry[];
  /** Stops all members until `thaw`. Resolves when all have stopped, or after a bound. */
  freeze(): Promise<void>;
  /** Undoes `freeze`, also a freeze that is under way. */
  thaw(): void;
  /** Must be called whenever we have waited for a process that `start` started, before any other call. */
  reaped(): void;
  usage(): TreeUsage;
  details(): TreeDetails;
  /**
   * Limits the memory that the members may use together.
   *
   * @returns why the limit cannot be set, as a clause, or undefined
   */
  limitMemory(bytes: number): string | undefined;
  /** How many members the kernel has killed because memory ran out; undefined when the tree does not know. */
  oomKills(): number | undefined;
  /**
   * Releases the members: they no longer belong to the job.
   *
   * @param cookie what processes that start later have in their environment
   */
  release(cookie: string): void;
  /**
   * Releases the resources of the tree. The last call.
   *
   * @returns whether nothing is left
   */
  close(): boolean;
}
