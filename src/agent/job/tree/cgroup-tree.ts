import fs from "node:fs";
import { join } from "node:path";
import { sleep } from "../../../base/clock.ts";
import { errnoOf } from "../../../base/errors.ts";
import type { Signal } from "../../../base/process/signals.ts";
import { Containment } from "../../../gen/belay/v1/job_pb.ts";
import { cgroupIo, cgroupPressure } from "./cgroup-stats.ts";
import { cgroupNumber, cgroupPids, removeCgroup } from "./cgroup.ts";
import { deliver } from "./deliver.ts";
import { MemoryControl } from "./memory-control.ts";
import { MoveAhead } from "./move-ahead.ts";
import { isAlive, type ProcessEntry, readProcess, sumOpenFiles } from "./proc.ts";
import { takeReaped } from "./reaped.ts";
import { IoAccounts } from "./tree-accounts.ts";
import type { ProcessTree, TreeDetails, TreeUsage } from "./tree.ts";

/** How long a freeze waits for every process to stop. */
const FREEZE_WAIT_MS = 1000;

/** A tree that the kernel keeps: a cgroup v2 directory of the job's own, which no process leaves by forking. */
export class CgroupTree implements ProcessTree {
  readonly containment: Containment = Containment.CGROUP;
  /** The job's directory. */
  readonly directory: string;
  private readonly parent: string;
  private readonly memory: MemoryControl | undefined;
  private ahead: MoveAhead | undefined;
  private frozen = false;
  private peakMemory = 0;
  private lastCpuSeconds = 0;
  private readonly io = new IoAccounts();
  /** Members by pid, as they were when first seen or when they lost their parent. */
  private identified = new Map<number, ProcessEntry>();

  /**
   * @param parent the agent's own cgroup
   * @param directory a cgroup below it that exists
   */
  constructor(parent: string, directory: string) {
    this.parent = parent;
    this.directory = directory;
    this.memory = MemoryControl.make(parent, directory);
  }

  expectStart(rehearsalPid: () => number): void {
    this.ahead ??= new MoveAhead(this.parent, rehearsalPid);
  }

  /**
   * The agent itself enters the cgroup for the moment of the fork, and leaves it again. So the job is in the cgroup
   * from its first instruction, its exec fails with its own error, and its environment is exactly the one we pass. A
   * shell in between, the usual solution, drops variables that are not shell identifiers and turns errors of exec into
   * exit codes.
   */
  start<T>(spawn: () => T): T {
    this.ahead?.stop();
    try {
      this.memory?.enter();
      this.enter(this.directory);
      return spawn();
    } finally {
      this.enter(this.parent);
      this.memory?.leave();
    }
  }

  /** The job's directory in the hierarchy of a v1 memory controller; empty when the job has none. */
  get memoryDirectory(): string {
    return this.memory?.ownDirectory ?? "";
  }

  adopt(): void {
    // Discards what our other children have used: it is not the job's.
    takeReaped();
  }

  claim(entries: readonly ProcessEntry[]): void {
    for (const entry of entries) this.move(entry.pid, this.directory);
  }

  members(): ProcessEntry[] {
    const entries: ProcessEntry[] = [];
    for (const pid of cgroupPids(this.directory)) {
      // 0: a process of another pid namespace, which we cannot see.
      const entry = pid === 0 || pid === process.pid ? undefined : readProcess(pid);
      if (entry !== undefined && isAlive(entry)) entries.push(entry);
    }
    return entries;
  }

  isEmpty(): boolean {
    return cgroupNumber(join(this.directory, "cgroup.events"), "populated") !== 1;
  }

  signal(signal: Signal, wake?: "wake"): number {
    return deliver(() => this.members(), signal, wake !== undefined);
  }

  kill(): ProcessEntry[] {
    const members = this.members();
    this.write("cgroup.kill", "1");
    return members;
  }

  async freeze(): Promise<void> {
    this.frozen = true;
    this.write("cgroup.freeze", "1");
    const deadline = performance.now() + FREEZE_WAIT_MS;
    while (this.frozen && performance.now() < deadline) {
      if (cgroupNumber(join(this.directory, "cgroup.events"), "frozen") === 1) return;
      await sleep(2);
    }
  }

  thaw(): void {
    if (!this.frozen) return;
    this.frozen = false;
    this.write("cgroup.freeze", "0");
  }

  reaped(): void {
    this.io.addReaped(takeReaped());
  }

  usage(): TreeUsage {
    const cpu = cgroupNumber(join(this.directory, "cpu.stat"), "usage_usec");
    if (cpu !== undefined) this.lastCpuSeconds = cpu / 1e6;
    const memory = this.memory?.measure(() => {
      const io = this.io.update(this.identify());
      return io === undefined ? undefined : io.read + io.written;
    });
    const resident = memory?.current ?? this.members().reduce((sum, entry) => sum + entry.memoryBytes, 0);
    this.peakMemory = Math.max(this.peakMemory, memory?.most ?? resident);
    return {
      cpuSeconds: this.lastCpuSeconds,
      memoryBytes: resident,
      peakMemoryBytes: this.peakMemory,
      processes: cgroupPids(this.directory).length,
      threads: cgroupPids(this.directory, "threads").length,
      exact: memory?.peakKnown === true,
    };
  }

  details(): TreeDetails {
    const { directory } = this;
    const members = this.identify();
    return {
      pids: members.map((entry) => entry.pid),
      openFiles: sumOpenFiles(members),
      disk: cgroupIo(directory) ?? this.io.update(members),
      pressure: {
        cpu: cgroupPressure(directory, "cpu"),
        memory: cgroupPressure(directory, "memory"),
        io: cgroupPressure(directory, "io"),
      },
    };
  }

  oomKills(): number | undefined {
    return this.memory?.oomKills();
  }

  limitMemory(bytes: number): string | undefined {
    return this.memory === undefined ? "the job's cgroup has no memory controller" : this.memory.setLimit(bytes);
  }

  release(): void {
    // A process may fork while it is moved; the next round finds its child.
    for (let pids = cgroupPids(this.directory), round = 0; pids.length > 0 && round < 100; round++) {
      for (const pid of pids) this.memory?.release(pid);
      for (const pid of pids) this.move(pid, this.parent);
      pids = cgroupPids(this.directory);
    }
  }

  close(): boolean {
    this.ahead?.stop();
    const gone = removeCgroup(this.directory);
    return (this.memory?.close() ?? true) && gone;
  }

  /**
   * The members, cheaper than `members`: known ones are not read again. The kernel reuses a pid only after it has used
   * all others.
   */
  private identify(): ProcessEntry[] {
    const pids = new Set(cgroupPids(this.directory));
    const now = new Map<number, ProcessEntry>();
    for (const pid of pids) {
      const known = this.identified.get(pid);
      const isSame = known !== undefined && (pids.has(known.parentPid) || known.parentPid === process.pid);
      const entry = isSame || pid === 0 || pid === process.pid ? known : readProcess(pid);
      if (entry !== undefined) now.set(pid, entry);
    }
    this.identified = now;
    return [...now.values()];
  }

  private enter(directory: string): void {
    fs.writeFileSync(join(directory, "cgroup.procs"), String(process.pid));
  }

  private move(pid: number, directory: string): void {
    try {
      fs.writeFileSync(join(directory, "cgroup.procs"), String(pid));
    } catch (error) {
      // The process has ended, or we may not move it from the cgroup that it is in.
      if (!["ESRCH", "EACCES", "EPERM"].includes(errnoOf(error) ?? "")) throw error;
    }
  }

  private write(file: string, value: string): void {
    try {
      fs.writeFileSync(join(this.directory, file), value);
    } catch (error) {
      if (errnoOf(error) !== "ENOENT" && errnoOf(error) !== "ENODEV") throw error;
    }
  }
}
