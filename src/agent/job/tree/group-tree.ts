import { sleep } from "../../../base/clock.ts";
import type { Signal } from "../../../base/signals.ts";
import { Containment } from "../../../gen/belay/v1/job_pb.ts";
import { deliver, sendTo, sendToGroup } from "./deliver.ts";
import { environmentHolds, isAlive, listPids, type ProcessEntry, readProcess, sumOpenFiles } from "./proc.ts";
import { takeReaped } from "./reaped.ts";
import { CpuAccounts, IoAccounts } from "./tree-accounts.ts";
import type { ProcessTree, TreeDetails, TreeUsage } from "./tree.ts";

/** How long a freeze waits for every process to stop. */
const FREEZE_WAIT_MS = 1000;
/** How often one look goes over the list of processes, to meet those that were born during it. */
const LOOK_ROUNDS = 2;
/** Of so many looks that only measure, one is as thorough as the others are. */
const THOROUGH_EVERY = 16;
/** The same when it is to kill. */
const KILL_ROUNDS = 5;
/** How far up a process's ancestors are followed. */
const MOST_GENERATIONS = 1000;

/**
 * A tree held by looking: a process belongs to it when it is in a process group or session that the job made, descends
 * from a member, or carries the job's cookie in its environment. Once seen, it belongs for as long as it lives.
 *
 * A process escapes when it leaves group and session, clears its environment and loses its parent, all between two
 * looks.
 */
export class GroupTree implements ProcessTree {
  readonly containment: Containment = Containment.PROCESS_GROUP;
  private readonly cookie: string;
  /** Members by pid: those seen last time. */
  private known = new Map<number, ProcessEntry>();
  /** Others by pid, with their start time: the kernel's, and those whose environment was read and has no cookie. */
  private readonly strangers = new Map<number, number>();
  /** Process groups and sessions made by members. A number in use as such is not given to a new process. */
  private readonly groups = new Set<number>();
  /** The groups of `adopt`, those that have ended included. */
  private readonly adopted = new Set<number>();
  /** Members outside these groups, by pid with their start time, when that was last told. */
  private strays = new Map<number, number>();
  private tellStrays: (strays: readonly ProcessEntry[]) => void = () => undefined;
  private frozen = false;
  private readonly cpu = new CpuAccounts();
  private readonly io = new IoAccounts();
  private cpuSeconds = 0;
  private measured = 0;
  private peakMemory = 0;

  constructor(cookie: string) {
    this.cookie = cookie;
  }

  onStrays(tell: (strays: readonly ProcessEntry[]) => void): void {
    this.tellStrays = tell;
  }

  start<T>(spawn: () => T): T {
    return spawn();
  }

  adopt(pid: number): void {
    // What our other children have used is not the job's.
    takeReaped();
    this.groups.add(pid);
    this.adopted.add(pid);
    const entry = readProcess(pid);
    if (entry !== undefined) this.known.set(pid, entry);
  }

  claim(entries: readonly ProcessEntry[]): void {
    for (const entry of entries) this.known.set(entry.pid, entry);
    this.noteStrays(this.known);
  }

  members(): ProcessEntry[] {
    return [...this.look().values()].filter(isAlive);
  }

  isEmpty(): boolean {
    return this.members().length === 0;
  }

  signal(signal: Signal, wake?: "wake"): number {
    return deliver(() => this.members(), signal, wake !== undefined);
  }

  kill(): ProcessEntry[] {
    const killedGroups = new Set<number>();
    const kill = (entry: ProcessEntry): void => {
      // A group is killed in one stroke, so that a fork loop in it cannot outrun us.
      if (this.groups.has(entry.group) && !killedGroups.has(entry.group)) {
        killedGroups.add(entry.group);
        sendToGroup(entry.group, "SIGKILL");
      }
      sendTo(entry, "SIGKILL");
    };
    const members = [...this.look(kill).values()].filter(isAlive);
    for (const entry of members) kill(entry);
    return members;
  }

  async freeze(): Promise<void> {
    this.frozen = true;
    const deadline = performance.now() + FREEZE_WAIT_MS;
    while (this.frozen && performance.now() < deadline) {
      const moving = this.members().filter((entry) => entry.state !== "T" && entry.state !== "t");
      if (moving.length === 0) return;
      for (const entry of moving) sendTo(entry, "SIGSTOP");
      await sleep(2);
    }
  }

  thaw(): void {
    if (!this.frozen) return;
    this.frozen = false;
    this.signal("SIGCONT");
  }

  reaped(): void {
    const reaped = takeReaped();
    this.cpu.addReaped(reaped);
    this.io.addReaped(reaped);
  }

  usage(): TreeUsage {
    this.measured += 1;
    const found = this.measured % THOROUGH_EVERY === 0 ? this.look() : this.glance();
    const members = [...found.values()].filter(isAlive);
    const memoryBytes = members.reduce((sum, entry) => sum + entry.memoryBytes, 0);
    this.peakMemory = Math.max(this.peakMemory, memoryBytes);
    return {
      cpuSeconds: this.cpuSeconds,
      memoryBytes,
      peakMemoryBytes: this.peakMemory,
      processes: members.length,
      threads: members.reduce((sum, entry) => sum + entry.threads, 0),
      exact: false,
    };
  }

  /** Of the processes that the last look found. */
  details(): TreeDetails {
    const entries = [...this.known.values()];
    return {
      pids: [...this.known.keys()],
      openFiles: sumOpenFiles(entries),
      disk: this.io.update(entries),
      // Without a cgroup there is only the machine's.
      pressure: { cpu: undefined, memory: undefined, io: undefined },
    };
  }

  limitMemory(): string {
    return "the job has no cgroup";
  }

  oomKills(): undefined {
    return undefined;
  }

  release(): void {
    this.known.clear();
    this.groups.clear();
  }

  close(): boolean {
    return true;
  }

  /**
   * Looks at every process, the youngest first: a chain of processes that each fork the next and exit is met only
   * there. What was born during a round is looked at in the next.
   *
   * @param onFound called at once for each that shows itself to be a member
   */
  private look(onFound?: (entry: ProcessEntry) => void): Map<number, ProcessEntry> {
    const entries = new Map<number, ProcessEntry>();
    const found = new Map<number, ProcessEntry>();
    const rounds = onFound === undefined ? LOOK_ROUNDS : KILL_ROUNDS;
    for (let round = 0; round < rounds; round++) {
      const fresh = listPids().filter((pid) => !entries.has(pid));
      if (fresh.length === 0) break;
      for (const pid of fresh.toReversed()) {
        const entry = readProcess(pid);
        if (entry === undefined) continue;
        entries.set(pid, entry);
        if (!this.recognize(entry)) continue;
        found.set(pid, entry);
        if (isAlive(entry)) onFound?.(entry);
      }
    }
    for (const pid of this.strangers.keys()) if (!entries.has(pid)) this.strangers.delete(pid);
    return this.conclude(entries, found);
  }

  /**
   * Looks at members and at what is new: most processes of a machine are neither, and none of those comes to be a member.
   * It could be fooled by a stranger's pid that is given out again, to a member, between two looks.
   */
  private glance(): Map<number, ProcessEntry> {
    const entries = new Map<number, ProcessEntry>();
    const found = new Map<number, ProcessEntry>();
    const pids = new Set(listPids());
    for (const pid of this.strangers.keys()) if (!pids.has(pid)) this.strangers.delete(pid);
    for (const pid of pids) {
      const entry = this.strangers.has(pid) && !this.known.has(pid) ? undefined : readProcess(pid);
      if (entry === undefined) continue;
      entries.set(pid, entry);
      if (this.recognize(entry)) found.set(pid, entry);
    }
    return this.conclude(entries, found);
  }

  /** Adds members that show themselves only by their ancestors, and keeps what was seen. */
  private conclude(
    entries: ReadonlyMap<number, ProcessEntry>,
    found: Map<number, ProcessEntry>,
  ): Map<number, ProcessEntry> {
    for (const entry of entries.values()) this.addDescendant(entry, entries, found);
    for (const entry of found.values()) {
      // What a member leads is the job's.
      if (entry.group === entry.pid || entry.session === entry.pid) this.groups.add(entry.pid);
    }
    this.forgetGroups(found);
    this.cpuSeconds = this.cpu.update(found.values());
    this.known = found;
    this.noteStrays(found);
    return found;
  }

  private noteStrays(members: ReadonlyMap<number, ProcessEntry>): void {
    const strays = [...members.values()].filter((entry) => isAlive(entry) && !this.adopted.has(entry.group));
    if (strays.length === this.strays.size && strays.every((one) => this.strays.get(one.pid) === one.startTime)) return;
    this.strays = new Map(strays.map(({ pid, startTime }) => [pid, startTime]));
    this.tellStrays(strays);
  }

  /** Whether a process shows by itself that it is a member. */
  private recognize(entry: ProcessEntry): boolean {
    if (entry.pid === process.pid) return false;
    // 2 is the kernel's own; what descends from it are its threads.
    if (entry.pid <= 2 || entry.parentPid === 2) {
      this.strangers.set(entry.pid, entry.startTime);
      return false;
    }
    if (this.known.get(entry.pid)?.startTime === entry.startTime) return true;
    if (this.groups.has(entry.group) || this.groups.has(entry.session)) return true;
    if (this.strangers.get(entry.pid) === entry.startTime) return false;
    const holds = environmentHolds(entry.pid, this.cookie);
    if (holds === false) this.strangers.set(entry.pid, entry.startTime);
    return holds === true;
  }

  /** Adds a process and the ancestors in between, if one of its ancestors is a member. */
  private addDescendant(
    entry: ProcessEntry,
    entries: ReadonlyMap<number, ProcessEntry>,
    found: Map<number, ProcessEntry>,
  ): void {
    const line: ProcessEntry[] = [];
    let at: ProcessEntry | undefined = entry;
    // Parents may change while one looks, so the walk upwards is bounded.
    while (at !== undefined && at.pid > 2 && at.pid !== process.pid && line.length < MOST_GENERATIONS) {
      if (found.has(at.pid)) {
        for (const descendant of line) found.set(descendant.pid, descendant);
        return;
      }
      line.push(at);
      at = entries.get(at.parentPid);
    }
  }

  /** A group or session that nobody is in any more may come to be someone else's. Who is in one is a member. */
  private forgetGroups(members: ReadonlyMap<number, ProcessEntry>): void {
    const used = new Set<number>();
    for (const entry of members.values()) {
      used.add(entry.group);
      used.add(entry.session);
    }
    for (const group of this.groups) {
      if (used.has(group)) continue;
      this.groups.delete(group);
      this.adopted.delete(group);
    }
  }
}
