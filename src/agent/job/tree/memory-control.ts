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
  /** Name in `memory.stat` of the page cache that the kernel would drop first. */
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

/** The memory that a job's cgroup holds, in bytes. */
interface MemoryUse {
  readonly current: number;
  /** Most at one time. */
  readonly most: number;
  /** Whether the kernel keeps the peak: then only a peak during heavy reading or writing can be missed. */
  readonly peakKnown: boolean;
}

/** The memory controller of a job's cgroup: measures and limits. In the hybrid layout it is in a v1 hierarchy. */
export class MemoryControl {
  private readonly directory: string;
  private readonly files: Files;
  /** The agent's own cgroup in the controller's v1 hierarchy; undefined when the controller is v2. */
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
   * Finds the controller for a job's v2 cgroup. If the controller is in a v1 hierarchy, makes the job's directory
   * there.
   *
   * @returns undefined when no memory controller is available
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

  /** Moves the agent in for the moment of a fork. Lifts the limit meanwhile, so that the agent never exceeds it. */
  enter(): void {
    if (this.limit > 0) this.write(this.files.limit, this.files.noLimit);
    if (this.home !== undefined) this.write("cgroup.procs", String(process.pid));
  }

  /** Moves the agent out again and restores the limit. */
  leave(): void {
    if (this.home !== undefined) fs.writeFileSync(join(this.home, "cgroup.procs"), String(process.pid));
    if (this.limit > 0) this.setLimit(this.limit);
  }

  /** Moves a process out; it is not moved back. */
  release(pid: number): void {
    if (this.home === undefined) return;
    try {
      fs.writeFileSync(join(this.home, "cgroup.procs"), String(pid));
    } catch {
      // The process has ended.
    }
  }

  /**
   * Limits the memory that the job's processes may use together. They get no swap.
   *
   * @returns why the limit cannot be set, as a clause, or undefined
   */
  setLimit(bytes: number): string | undefined {
    try {
      this.write(this.files.limit, String(bytes));
      this.limit = bytes;
    } catch (error) {
      // A v1 controller refuses a limit below what is in use.
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
   * The memory in use, without the page cache that the kernel can drop. Undefined: not known.
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
   * The kernel's peak includes the page cache: the peak of a job that writes a large file would show the file, not what
   * the job needs. At the peak, the cache was at most the cache known before plus all bytes read and written since.
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

  /** @returns whether the job's directory in a v1 hierarchy, if it has one, is gone */
  close(): boolean {
    return this.home === undefined || removeCgroup(this.directory);
  }

  private write(file: string, value: string): void {
    fs.writeFileSync(join(this.directory, file), value);
  }
}

/** Enables the controller below a cgroup. Works only if no process is in that cgroup itself, or it is the root. */
function enableForChildren(parent: string): void {
  try {
    const available = fs.readFileSync(join(parent, "cgroup.controllers"), "latin1").trim().split(" ");
    if (available.includes("memory")) fs.writeFileSync(join(parent, "cgroup.subtree_control"), "+memory");
  } catch {
    // EBUSY, EACCES: the job runs without a memory controller.
  }
}

/**
 * Starts to count the processes in the agent's own cgroup, such as its container, that the kernel kills when memory
 * runs out. A job without a memory controller of its own shares that cgroup.
 *
 * @returns a function that returns how many the kernel has killed since; undefined when it does not count them
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
