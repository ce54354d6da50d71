import fs from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { cgroupNumber, ownCgroup } from "../tree/cgroup.ts";
import { hasProc, readKernelFile } from "../tree/proc.ts";

/** How long limits that were read are used. A limit may change while a job runs. */
const MOST_AGE_MS = 30_000;

/** What a job may use of its machine. */
export interface Limits {
  /** Processors, fractions of one included. */
  readonly cores: number;
  /** 0: no limit but the machine's. */
  readonly memoryBytes: number;
}

/** Directories of the cgroups that a job is in, from its own upwards. */
interface Levels {
  /** In the v2 hierarchy. */
  readonly unified: readonly string[];
  /** In the hierarchy of the v1 cpu controller. */
  readonly cpu: readonly string[];
  /** The job's directory in the hierarchy of the v1 memory controller; its files include its ancestors' limits. */
  readonly memory: string | undefined;
}

/**
 * Finds what a job may use: the agent's affinity, and the limits of the job's cgroup and of each cgroup above it. From
 * inside a container, the cgroups above the container's own are not visible; they seldom have a lower limit.
 */
export class LimitFinder {
  private readonly cgroup: string;
  private readonly memoryCgroup: string;
  private levels: Levels | undefined;
  private found: { readonly limits: Limits; readonly at: number } | undefined;

  /**
   * @param cgroup the job's cgroup in the v2 hierarchy; empty: it has none
   * @param memoryCgroup the job's cgroup in the hierarchy of the v1 memory controller; empty: it has none
   */
  constructor(cgroup: string, memoryCgroup: string) {
    this.cgroup = cgroup;
    this.memoryCgroup = memoryCgroup;
  }

  find(): Limits {
    const now = performance.now();
    if (this.found === undefined || now - this.found.at > MOST_AGE_MS) this.found = { limits: this.read(), at: now };
    return this.found.limits;
  }

  private read(): Limits {
    if (!hasProc()) return { cores: availableParallelism(), memoryBytes: 0 };
    const { unified, cpu, memory } = (this.levels ??= this.findLevels());
    const cores = [affinity() ?? availableParallelism()];
    const bytes: number[] = [];
    for (const directory of unified) {
      cores.push(quotaOf(readKernelFile(join(directory, "cpu.max"))));
      bytes.push(cgroupNumber(join(directory, "memory.max")) ?? Number.POSITIVE_INFINITY);
    }
    for (const directory of cpu) {
      const quota = cgroupNumber(join(directory, "cpu.cfs_quota_us")) ?? -1;
      const period = cgroupNumber(join(directory, "cpu.cfs_period_us")) ?? 0;
      if (quota > 0 && period > 0) cores.push(quota / period);
    }
    if (memory !== undefined) {
      bytes.push(cgroupNumber(join(memory, "memory.stat"), "hierarchical_memory_limit") ?? Number.POSITIVE_INFINITY);
    }
    const memoryBytes = Math.min(...bytes);
    return { cores: Math.min(...cores), memoryBytes: memoryBytes < totalmem() ? memoryBytes : 0 };
  }

  private findLevels(): Levels {
    const unified = this.cgroup === "" ? ownCgroup() : this.cgroup;
    return {
      unified: upwards(unified),
      cpu: upwards(ownCgroup("cpu")),
      memory: this.memoryCgroup === "" ? ownCgroup("memory") : this.memoryCgroup,
    };
  }
}

/** A cgroup and those above it, as far as they are visible. */
function upwards(directory: string | undefined): string[] {
  const levels: string[] = [];
  for (let at = directory; at !== undefined && fs.existsSync(join(at, "cgroup.procs")); at = dirname(at))
    levels.push(at);
  return levels;
}

/** `max 100000` or `150000 100000`: microseconds in each period. */
function quotaOf(text: string | undefined): number {
  const [quota, period] = (text ?? "").split(" ").map(Number);
  return quota !== undefined && period !== undefined && quota > 0 && period > 0
    ? quota / period
    : Number.POSITIVE_INFINITY;
}

/** How many processors the agent, and so its job, may run on, cpuset included. */
function affinity(): number | undefined {
  const list = /^Cpus_allowed_list:\s*(\S+)/m.exec(readKernelFile("/proc/self/status") ?? "")?.[1];
  return list === undefined ? undefined : countList(list);
}

/** How many numbers a list such as `0-3,8` has. */
export function countList(list: string): number {
  let count = 0;
  for (const range of list.split(",")) {
    const [first, last] = range.split("-").map(Number);
    count += (last ?? first ?? 0) - (first ?? 0) + 1;
  }
  return count;
}
