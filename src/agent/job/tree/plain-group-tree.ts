import { execFile } from "node:child_process";
import { errnoOf } from "../../../base/errors.ts";
import type { Signal } from "../../../base/signals.ts";
import { Containment } from "../../../gen/belay/v1/job_pb.ts";
import type { ProcessEntry } from "./proc.ts";
import type { ProcessTree, TreeDetails, TreeUsage } from "./tree.ts";

/** `ps` and `pgrep` take milliseconds. */
const LIST_TIMEOUT_MS = 5000;

/** A tree held by its process groups alone, where there is no /proc: macOS. What leaves its group is not found. */
export class PlainGroupTree implements ProcessTree {
  readonly containment: Containment = Containment.PROCESS_GROUP;
  private readonly groups = new Set<number>();
  /** Processor seconds of each process that was there when they were last measured. */
  private cpu = new Map<number, number>();
  /** The same of all that have ended. */
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

  /** The groups' leaders stand for all. */
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

  /** What the groups' processes used when they were last measured: asking for it starts the next measurement. */
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

  /** Through `ps`, which is what pidusage uses where there is no /proc. */
  private async measure(): Promise<void> {
    const pids = await this.pids();
    const { default: pidusage } = await import("pidusage");
    // It fails as a whole when none of the processes is there any more; the next look will find the others. Its share of
    // a processor is not used: that of a process it has not seen before is an average over its life.
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

  /** Whose time is less than it was is another process of the same pid. */
  private keepCpu(now: Map<number, number>): void {
    for (const [pid, seconds] of this.cpu) if ((now.get(pid) ?? -1) < seconds) this.endedCpu += seconds;
    this.cpu = now;
  }

  /** All processes of the groups, or their leaders where they cannot be listed. */
  private pids(): Promise<number[]> {
    const leaders = [...this.groups];
    if (leaders.length === 0) return Promise.resolve([]);
    return new Promise((resolve) => {
      execFile("pgrep", ["-g", leaders.join(",")], { timeout: LIST_TIMEOUT_MS }, (error, stdout) => {
        // 1: there are none.
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
