import type { Signal } from "../../../base/signals.ts";
import type { Containment } from "../../../gen/belay/v1/job_pb.ts";
import type { ProcessEntry } from "./proc.ts";
import type { ProcessIo } from "./process-io.ts";

/** What a tree has used so far. */
export interface TreeUsage {
  /** Processor seconds since the start of the job, ended processes included. */
  readonly cpuSeconds: number;
  readonly memoryBytes: number;
  /** Most memory at one time, as far as it is known. */
  readonly peakMemoryBytes: number;
  /** Zombies left out. */
  readonly processes: number;
  /** Undefined: not known. */
  readonly threads: number | undefined;
  /** Whether processor time and peak come from the kernel's own counters. */
  readonly exact: boolean;
}

/** What takes longer to find out about a tree. Undefined: not known. */
export interface TreeDetails {
  /** Of the processes that are there. */
  readonly pids: readonly number[];
  readonly openFiles: number | undefined;
  /** From and to storage since the start of the job, ended processes included. */
  readonly disk: ProcessIo | undefined;
  readonly pressure: Readonly<Record<"cpu" | "memory" | "io", number | undefined>>;
}

/**
 * Every process that a job makes, however it is held together.
 *
 * Its law: a process that `start` started, and each that descends from it, is a member until it is dead, as completely
 * as `containment` promises. Members are told apart by pid and start time; zombies are none. Calls are synchronous:
 * between looking and signalling nothing of ours runs.
 */
export interface ProcessTree {
  readonly containment: Containment;
  /**
   * Says that `start` is near: what can be done for it beforehand is done, off the event loop.
   *
   * @param bystander id of a process of ours that is not the job's; it is not harmed
   */
  expectStart?(bystander: () => number): void;
  /**
   * Has a function called whenever other members than before are outside the groups of `adopt`: who watches over those
   * groups alone does not find them. Absent: the tree can be ended without knowing its members.
   */
  onStrays?(tell: (strays: readonly ProcessEntry[]) => void): void;
  /** Runs a function that starts a process, such that the process belongs to the tree from its first instruction. */
  start<T>(spawn: () => T): T;
  /** Takes note of a process that `start` has started, the leader of its own process group. */
  adopt(pid: number): void;
  /** Makes members of processes that were found to be the job's in another way. */
  claim(entries: readonly ProcessEntry[]): void;
  /** Those alive now. */
  members(): ProcessEntry[];
  /** Whether none is alive. Cheaper than `members`. */
  isEmpty(): boolean;
  /**
   * Sends a signal to each member.
   *
   * @param wake lets those go on that are stopped, for they would take the signal only then
   * @returns how many got it
   */
  signal(signal: Signal, wake?: "wake"): number;
  /**
   * Sends SIGKILL to all, frozen or not. Processes born meanwhile may need another call.
   *
   * @returns those that were there, also if an earlier call has killed them and they have not ended yet
   */
  kill(): ProcessEntry[];
  /** Stops all until `thaw`. Resolves when they stand still, or after a bound. */
  freeze(): Promise<void>;
  /** Undoes `freeze`, also one that is under way. */
  thaw(): void;
  /** To be called whenever a process that `start` started has been waited for, before anything else is asked. */
  reaped(): void;
  usage(): TreeUsage;
  details(): TreeDetails;
  /**
   * Limits what the members may use of memory together.
   *
   * @returns why it cannot, as a clause, or undefined
   */
  limitMemory(bytes: number): string | undefined;
  /** How many members the kernel has killed for want of memory; undefined when the tree does not know. */
  oomKills(): number | undefined;
  /** Lets the members go: they are the job's no more. */
  release(): void;
  /**
   * Gives back what the tree holds. The last call.
   *
   * @returns whether nothing is left
   */
  close(): boolean;
}
