import { sleep } from "../../../base/clock.ts";
import type { Signal } from "../../../base/process/signals.ts";
import { Containment } from "../../../gen/belay/v1/job_pb.ts";
import { deliver, sendTo, sendToGroup } from "./deliver.ts";
import { environmentHolds, isAlive, listPids, type ProcessEntry, readProcess, sumOpenFiles } from "./proc.ts";
import { takeReaped } from "./reaped.ts";
import { CpuAccounts, IoAccounts } from "./tree-accounts.ts";
import type { ProcessTree, TreeDetails, TreeUsage } from "./tree.ts";

/** How long a freeze waits for every process to stop. */
const FREEZE_WAIT_MS = 1000;
/** How often one scan reads the list of processes, to find those born during the scan. */
const SCAN_ROUNDS = 2;
/** One in this many measurements does a full scan instead of a fast one. */
const FULL_SCAN_EVERY = 16;
/** How often a scan that kills reads the list of processes. */
const KILL_ROUNDS = 5;
/** How many generations of a process's ancestors are followed. */
const MOST_GENERATIONS = 1000;

/**
 * A tree found by scanning /proc: a process is a member when it is in a process group or session that the job made,
 * descends from a member, or has the job's cookie in its environment. Once seen, it is a member for as long as it
 * lives.
 *
 * A process escapes when it leaves group and session, clears its environment and loses its parent, all between two
 * scans.
 */
export class GroupTree implements ProcessTree {
  readonly containment: Containment = Containment.PROCESS_GROUP;
  private cookie: string;
  /** Members by pid, as the last scan found them. */
  private known = new Map<number, ProcessEntry>();
  /** Start times of other processes, by pid: kernel threads, and processes whose environment has no cookie. */
  private readonly nonMembers = new Map<number, number>();
  /** Process groups and sessions made by members. The kernel gives no new process an id that one of these uses. */
  private readonly groups = new Set<number>();
  /** Process groups of the processes passed to `adopt`, including those that have ended. */
  private readonly adopted = new Set<number>();
  /** Start times by pid of the members outside these groups, as last reported. */
  private strays = new Map<number, number>();
  private reportStrays: (strays: readonly ProcessEntry[]) => void = () => undefined;
  private frozen = false;
  private readonly cpu = new CpuAccounts();
  private readonly io = new IoAccounts();
  private cpuSeconds = 0;
  private measured = 0;
  private peakMemory = 0;

  constructor(cookie: string) {
    this.cookie = cookie;
  }

  onStrays(report: (strays: readonly ProcessEntry[]) => void): void {
    this.reportStrays = report;
  }

  start<T>(spawn: () => T): T {
    return spawn();
  }

  adopt(pid: number): void {
    // Discards what our other children have used: it is not the job's.
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
    return [...this.scan().values()].filter(isAlive);
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
      // One call kills a whole group, so that a fork loop in it cannot outrun us.
      if (this.groups.has(entry.group) && !killedGroups.has(entry.group)) {
        killedGroups.add(entry.group);
        sendToGroup(entry.group, "SIGKILL");
      }
      sendTo(entry, "SIGKILL");
    };
    const members = [...this.scan(kill).values()].filter(isAlive);
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
    const found = this.measured % FULL_SCAN_EVERY === 0 ? this.scan() : this.scanFast();
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

  /** Details of the processes that the last scan found. */
  details(): TreeDetails {
    const entries = [...this.known.values()];
    return {
      pids: [...this.known.keys()],
      openFiles: sumOpenFiles(entries),
      disk: this.io.update(entries),
      // Without a cgroup, the kernel knows only the whole machine's pressure.
      pressure: { cpu: undefined, memory: undefined, io: undefined },
    };
  }

  limitMemory(): string {
    return "the job has no cgroup";
  }

  oomKills(): undefined {
    return undefined;
  }

  release(cookie: string): void {
    this.cookie = cookie;
    this.known.clear();
    this.groups.clear();
    this.adopted.clear();
    this.strays.clear();
  }

  close(): boolean {
    return true;
  }

  /**
   * Reads every process, the youngest first: only that order catches up with a chain of processes that each fork the
   * next and exit. A process born during a round is read in the next.
   *
   * @param onFound called at once for each process that proves to be a member by itself
   */
  private scan(onFound?: (entry: ProcessEntry) => void): Map<number, ProcessEntry> {
    const entries = new Map<number, ProcessEntry>();
    const found = new Map<number, ProcessEntry>();
    const rounds = onFound === undefined ? SCAN_ROUNDS : KILL_ROUNDS;
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
    for (const pid of this.nonMembers.keys()) if (!entries.has(pid)) this.nonMembers.delete(pid);
    return this.settle(entries, found);
  }

  /**
   * Reads only members and new processes: most processes of a machine are neither, and those never become members.
   * Misses a member that got a stranger's pid between two scans.
   */
  private scanFast(): Map<number, ProcessEntry> {
    const entries = new Map<number, ProcessEntry>();
    const found = new Map<number, ProcessEntry>();
    const pids = new Set(listPids());
    for (const pid of this.nonMembers.keys()) if (!pids.has(pid)) this.nonMembers.delete(pid);
    for (const pid of pids) {
      const entry = this.nonMembers.has(pid) && !this.known.has(pid) ? undefined : readProcess(pid);
      if (entry === undefined) continue;
      entries.set(pid, entry);
      if (this.recognize(entry)) found.set(pid, entry);
    }
    return this.settle(entries, found);
  }

  /** Adds members that only their ancestors prove, and stores the result of the scan. */
  private settle(
    entries: ReadonlyMap<number, ProcessEntry>,
    found: Map<number, ProcessEntry>,
  ): Map<number, ProcessEntry> {
    for (const entry of entries.values()) this.addDescendant(entry, entries, found);
    for (const entry of found.values()) {
      // A group or session that a member leads is the job's.
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
    this.reportStrays(strays);
  }

  /** Whether a process proves by itself that it is a member. */
  private recognize(entry: ProcessEntry): boolean {
    if (entry.pid === process.pid) return false;
    // 2 is kthreadd; its children are kernel threads.
    if (entry.pid <= 2 || entry.parentPid === 2) {
      this.nonMembers.set(entry.pid, entry.startTime);
      return false;
    }
    if (this.known.get(entry.pid)?.startTime === entry.startTime) return true;
    if (this.groups.has(entry.group) || this.groups.has(entry.session)) return true;
    if (this.nonMembers.get(entry.pid) === entry.startTime) return false;
    const holds = environmentHolds(entry.pid, this.cookie);
    if (holds === false) this.nonMembers.set(entry.pid, entry.startTime);
    return holds === true;
  }

  /** If an ancestor of a process is a member, adds the process and the ancestors in between. */
  private addDescendant(
    entry: ProcessEntry,
    entries: ReadonlyMap<number, ProcessEntry>,
    found: Map<number, ProcessEntry>,
  ): void {
    const line: ProcessEntry[] = [];
    let at: ProcessEntry | undefined = entry;
    // Parents may change during a scan, so the walk upwards is bounded.
    while (at !== undefined && at.pid > 2 && at.pid !== process.pid && line.length < MOST_GENERATIONS) {
      if (found.has(at.pid)) {
        for (const descendant of line) found.set(descendant.pid, descendant);
        return;
      }
      line.push(at);
      at = entries.get(at.parentPid);
    }
  }

  /** Forgets groups and sessions without a member: the kernel may give their ids to other processes. */
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
