import fs from "node:fs";
import { basename, join } from "node:path";
import { errnoOf, messageOf } from "../../../base/errors.ts";
import { cgroupNumber, ownCgroup, removeCgroup } from "./cgroup.ts";

/** Names of a memory controller's files. */
interface Files {
  readonly limit: string;
  readonly noLimit: string;
  readonly current: string;
  readonly peak: string;
  readonly events: string;
  /** Name in `memory.stat` of what the kernel would give up first. */
  readonly inactive: string;
}

const V2: Files = {
  limit: "memory.max",
  noLimit: "max",
  current: "memory.current",
  peak: "memory.peak",
  events: "memory.events",
  inactive: "inactive_file",
};
const V1: Files = {
  limit: "memory.limit_in_bytes",
  noLimit: "-1",
  current: "memory.usage_in_bytes",
  peak: "memory.max_usage_in_bytes",
  events: "memory.oom_control",
  inactive: "total_inactive_file",
};

/** What a job's cgroup holds of memory, in bytes. */
interface MemoryUse {
  readonly current: number;
  /** Most at one time. */
  readonly most: number;
  /** Whether the kernel keeps the peak: only one while much was read or written can be missed between two looks. */
  readonly peakKnown: boolean;
}

/** The memory controller of a job's cgroup: what it counts and limits. In the hybrid layout it is a v1 hierarchy's. */
export class MemoryControl {
  private readonly directory: string;
  private readonly files: Files;
  /** The agent's own cgroup in the controller's hierarchy; undefined when that is the one of the processes. */
  private readonly home: string | undefined;
  private limit = 0;
  private most = 0;
  private kernelPeak = 0;
  private cacheThen = 0;
  private movedThen = 0;

  private constructor(directory: string, files: Files, home: string | undefined) {
    this.directory = directory;
    this.files = files;
    this.home = home;
  }

  /**
   * Finds the controller for a job's v2 cgroup, and makes the job's directory in a v1 hierarchy where it is there.
   *
   * @returns undefined when there is none to be had
   */
  static make(parent: string, directory: string): MemoryControl | undefined {
    if (!fs.existsSync(join(directory, V2.limit))) enableForChildren(parent);
    if (fs.existsSync(join(directory, V2.limit))) return new MemoryControl(directory, V2, undefined);
    const home = ownCgroup("memory");
    if (home === undefined) return undefined;
    const own = join(home, basename(directory));
    try {
      fs.mkdirSync(own);
      fs.accessSync(join(home, "cgroup.procs"), fs.constants.W_OK);
      return new MemoryControl(own, V1, home);
    } catch {
      removeCgroup(own);
      return undefined;
    }
  }

  /** The job's directory in a v1 hierarchy, or undefined. */
  get ownDirectory(): string | undefined {
    return this.home === undefined ? undefined : this.directory;
  }

  /** Takes the agent in for the moment of a fork. The limit is lifted so that it is never the agent who exceeds it. */
  enter(): void {
    if (this.limit > 0) this.write(this.files.limit, this.files.noLimit);
    if (this.home !== undefined) this.write("cgroup.procs", String(process.pid));
  }

  /** Lets the agent out again and puts the limit in force. */
  leave(): void {
    if (this.home !== undefined) fs.writeFileSync(join(this.home, "cgroup.procs"), String(process.pid));
    if (this.limit > 0) this.setLimit(this.limit);
  }

  /** Takes a process out for good. */
  release(pid: number): void {
    if (this.home === undefined) return;
    try {
      fs.writeFileSync(join(this.home, "cgroup.procs"), String(pid));
    } catch {
      // It has ended.
    }
  }

  /**
   * Limits what the job's processes may use together, without swap.
   *
   * @returns why it cannot, as a clause, or undefined
   */
  setLimit(bytes: number): string | undefined {
    try {
      this.write(this.files.limit, String(bytes));
      this.limit = bytes;
    } catch (error) {
      // A v1 controller does not take a limit below what is in use.
      return errnoOf(error) === "EBUSY" ? `more than ${bytes} bytes are in use already` : messageOf(error);
    }
    try {
      this.write("memory.swap.max", "0");
    } catch {
      // v1, or a kernel without swap.
    }
    return undefined;
  }

  /**
   * What is in use and could not simply be dropped, as page cache could. Undefined: not known.
   *
   * @param moved bytes that the members have read from and written to storage so far; undefined: not known
   */
  measure(moved: () => number | undefined): MemoryUse | undefined {
    const all = cgroupNumber(join(this.directory, this.files.current));
    if (all === undefined) return undefined;
    const cache = cgroupNumber(join(this.directory, "memory.stat"), this.files.inactive) ?? 0;
    const current = Math.max(0, all - cache);
    this.most = Math.max(this.most, current);
    const peak = cgroupNumber(join(this.directory, this.files.peak));
    if (peak !== undefined && peak > this.kernelPeak) {
      this.kernelPeak = peak;
      this.notePeak(peak, cache, moved());
    }
    return { current, most: this.most, peakKnown: peak !== undefined };
  }

  /**
   * The kernel's peak has the page cache in it: that of a job which writes a large file would show the file instead of
   * what the job needs. At most, that cache was what there had been of it, and all that was read and written since.
   */
  private notePeak(peak: number, cache: number, moved: number | undefined): void {
    if (moved === undefined) return;
    const cacheAtMost = Math.max(cache, this.cacheThen + moved - this.movedThen);
    this.most = Math.max(this.most, peak - cacheAtMost);
    this.cacheThen = cache;
    this.movedThen = moved;
  }

  oomKills(): number | undefined {
    return cgroupNumber(join(this.directory, this.files.events), "oom_kill");
  }

  /** @returns whether its directory, if it has one, is gone */
  close(): boolean {
    return this.home === undefined || removeCgroup(this.directory);
  }

  private write(file: string, value: string): void {
    fs.writeFileSync(join(this.directory, file), value);
  }
}

/** Works only where no process is in the parent itself, or the parent is the root. */
function enableForChildren(parent: string): void {
  try {
    const available = fs.readFileSync(join(parent, "cgroup.controllers"), "latin1").trim().split(" ");
    if (available.includes("memory")) fs.writeFileSync(join(parent, "cgroup.subtree_control"), "+memory");
  } catch {
    // EBUSY, EACCES: then the job goes without.
  }
}

/**
 * Begins to count the processes that the kernel kills for want of memory in the agent's own cgroup, such as its
 * container. The job shares it when it has no memory controller of its own.
 *
 * @returns how many there have been since; undefined when they are not counted
 */
export function countOomKillsAround(): () => number | undefined {
  const places = [
    [ownCgroup(), V2],
    [ownCgroup("memory"), V1],
  ] as const;
  for (const [directory, files] of places) {
    if (directory === undefined) continue;
    const count = (): number | undefined => cgroupNumber(join(directory, files.events), "oom_kill");
    const before = count();
    if (before !== undefined) return () => (count() ?? before) - before;
  }
  return () => undefined;
}
