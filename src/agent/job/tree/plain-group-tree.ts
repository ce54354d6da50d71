import { execFile } from "node:child_process";
import { errnoOf } from "../../../base/errors.ts";
import type { Signal } from "../../../base/process/signals.ts";
import { Containment } from "../../../gen/belay/v1/job_pb.ts";
import type { ProcessEntry } from "./proc.ts";
import type { ProcessTree, TreeDetails, TreeUsage } from "./tree.ts";

/** `ps` and `pgrep` normally take milliseconds. */
const LIST_TIMEOUT_MS = 5000;

/** A tree of process groups alone, where there is no /proc: macOS. A process that leaves its group is not found. */
export class PlainGroupTree implements ProcessTree {
  readonly containment: Containment = Containment.PROCESS_GROUP;
  private readonly groups = new Set<number>();
  /** Processor seconds of each process that the last measurement found. */
  private cpu = new Map<number, number>();
  /** Processor seconds of all processes that have ended. */
  private endedCpu = 0;
  private measured = { cpuSeconds: 0, memoryBytes: 0, peakMemoryBytes: 0, processes: 0 };
  private measuring: Promise<void> | undefined;

  start<T>(spawn: () => T): T {
    return spawn();
  }

  adopt(pid: number): void {
    this.groups.add(pid);
  }

  claim(): void {}

  /** One entry for each group, in place of all its processes. */
  members(): ProcessEntry[] {
    for (const group of this.groups) if (!this.send(group, 0)) this.groups.delete(group);
    return [...this.groups].map((pid) => ({
      pid,
      parentPid: process.pid,
      group: pid,
      session: pid,
      state: "?",
      startTime: 0,
      name: "job",
      ticks: 0,
      childTicks: 0,
      threads: 1,
      memoryBytes: 0,
    }));
  }

  isEmpty(): boolean {
    return this.members().length === 0;
  }

  signal(signal: Signal): number {
    return [...this.groups].filter((group) => this.send(group, signal)).length;
  }

  kill(): ProcessEntry[] {
    const members = this.members();
    this.signal("SIGKILL");
    return members;
  }

  freeze(): Promise<void> {
    this.signal("SIGSTOP");
    return Promise.resolve();
  }

  thaw(): void {
    this.signal("SIGCONT");
  }

  /** What the groups' processes used at the last measurement. A call starts the next measurement. */
  usage(): TreeUsage {
    const leaders = this.members().length;
    this.measuring ??= this.measure().finally(() => (this.measuring = undefined));
    const { cpuSeconds, memoryBytes, peakMemoryBytes, processes } = this.measured;
    return {
      cpuSeconds,
      memoryBytes,
      peakMemoryBytes,
      processes: Math.max(leaders, processes),
      threads: undefined,
      exact: false,
    };
  }

  reaped(): void {}

  details(): TreeDetails {
    const pressure = { cpu: undefined, memory: undefined, io: undefined };
    return { pids: [...this.groups], openFiles: undefined, disk: undefined, pressure };
  }

  limitMemory(): string {
    return "this system has no cgroups";
  }

  oomKills(): undefined {
    return undefined;
  }

  release(): void {
    this.groups.clear();
  }

  close(): boolean {
    return true;
  }

  /** Measures through `ps`, which pidusage runs where there is no /proc. */
  private async measure(): Promise<void> {
    const pids = await this.pids();
    const { default: pidusage } = await import("pidusage");
    // pidusage rejects when all of the processes have ended; the next measurement finds the new ones. Its `cpu` is not
    // used: for a process that it has not seen before, that is an average over the process's life.
    const usages = pids.length === 0 ? {} : await pidusage(pids).catch(() => undefined);
    if (usages === undefined) return;
    const found = Object.values(usages).filter((usage: { pid: number } | null | undefined) => Boolean(usage));
    const memoryBytes = found.reduce((sum, { memory }) => sum + memory, 0);
    this.keepCpu(new Map(found.map(({ pid, ctime }) => [pid, ctime / 1000])));
    this.measured = {
      cpuSeconds: this.endedCpu + [...this.cpu.values()].reduce((sum, seconds) => sum + seconds, 0),
      memoryBytes,
      peakMemoryBytes: Math.max(this.measured.peakMemoryBytes, memoryBytes),
      processes: found.length,
    };
  }

  /** A pid with less processor time than before belongs to a new process. */
  private keepCpu(now: Map<number, number>): void {
    for (const [pid, seconds] of this.cpu) if ((now.get(pid) ?? -1) < seconds) this.endedCpu += seconds;
    this.cpu = now;
  }

  /** All processes of the groups, or their leaders when the processes cannot be listed. */
  private pids(): Promise<number[]> {
    const leaders = [...this.groups];
    if (leaders.length === 0) return Promise.resolve([]);
    return new Promise((resolve) => {
      execFile("pgrep", ["-g", leaders.join(",")], { timeout: LIST_TIMEOUT_MS }, (error, stdout) => {
        // 1: no process was found.
        if (error !== null && error.code !== 1) resolve(leaders);
        else resolve(stdout.split("\n").filter(Boolean).map(Number));
      });
    });
  }

  private send(group: number, signal: Signal | 0): boolean {
    try {
      process.kill(-group, signal);
      return true;
    } catch (error) {
      // macOS answers EPERM when only zombies are left in the group.
      if (errnoOf(error) === "ESRCH" || errnoOf(error) === "EPERM") return false;
      throw error;
    }
  }
}
