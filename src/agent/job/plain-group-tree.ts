import { errnoOf } from "../../base/errors.ts";
import { Containment } from "../../gen/belay/v1/job_pb.ts";
import type { ProcessEntry } from "./proc.ts";
import type { ProcessTree, TreeDetails, TreeUsage } from "./tree.ts";

/** A tree held by its process groups alone, where there is no /proc: macOS. What leaves its group is not found. */
export class PlainGroupTree implements ProcessTree {
  readonly containment: Containment = Containment.PROCESS_GROUP;
  private readonly groups = new Set<number>();
  /** Processor seconds of each leader, kept when it has ended. */
  private readonly cpu = new Map<number, number>();
  private measured = { cpuSeconds: 0, memoryBytes: 0, peakMemoryBytes: 0 };
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

  signal(signal: NodeJS.Signals): number {
    return [...this.groups].filter((group) => this.send(group, signal)).length;
  }

  kill(): number {
    return this.signal("SIGKILL");
  }

  freeze(): Promise<void> {
    this.signal("SIGSTOP");
    return Promise.resolve();
  }

  thaw(): void {
    this.signal("SIGCONT");
  }

  /** What the leaders used when they were last measured: asking for it starts the next measurement. */
  usage(): TreeUsage {
    const processes = this.members().length;
    this.measuring ??= this.measure().finally(() => (this.measuring = undefined));
    const { cpuSeconds, memoryBytes, peakMemoryBytes } = this.measured;
    return { cpuSeconds, memoryBytes, peakMemoryBytes, processes, threads: processes, exact: false };
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
    const { default: pidusage } = await import("pidusage");
    const pids = [...this.groups];
    // It fails as a whole when one of the processes has just ended; the next look will find the others.
    const usages = await pidusage(pids).catch(() => undefined);
    if (usages === undefined) return;
    const found = Object.values(usages).filter((usage) => usage !== undefined);
    const memoryBytes = found.reduce((sum, { memory }) => sum + memory, 0);
    for (const { pid, ctime } of found) this.cpu.set(pid, Math.max(this.cpu.get(pid) ?? 0, ctime / 1000));
    this.measured = {
      cpuSeconds: [...this.cpu.values()].reduce((sum, seconds) => sum + seconds, 0),
      memoryBytes,
      peakMemoryBytes: Math.max(this.measured.peakMemoryBytes, memoryBytes),
    };
  }

  private send(group: number, signal: NodeJS.Signals | 0): boolean {
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
