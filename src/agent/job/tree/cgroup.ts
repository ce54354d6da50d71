import fs from "node:fs";
import { join, relative } from "node:path";
import { readKernelFile } from "./proc.ts";

/**
 * The directory of the agent's own cgroup, in the v2 hierarchy or in that of a v1 controller.
 *
 * @param controller a v1 controller such as "memory"; absent: the v2 hierarchy, also in the hybrid layout
 * @returns undefined when the hierarchy is not mounted, or mounted such that this process cannot see its own cgroup
 */
export function ownCgroup(controller?: string): string | undefined {
  const path = ownPath(controller);
  if (path === undefined) return undefined;
  // mountinfo, proc_pid_mountinfo(5): id parent major:minor root point options… - type source options
  for (const line of (readKernelFile("/proc/self/mountinfo") ?? "").split("\n")) {
    const [front, back] = line.split(" - ");
    const [type, , options] = back?.split(" ") ?? [];
    const fits = controller === undefined ? type === "cgroup2" : type === "cgroup" && has(options, controller);
    if (!fits) continue;
    const [, , , root, point] = front?.split(" ") ?? [];
    if (root === undefined || point === undefined) continue;
    const below = relative(root, path);
    if (below.startsWith("..")) continue;
    const directory = join(point, below);
    if (fs.existsSync(join(directory, "cgroup.procs"))) return directory;
  }
  return undefined;
}

function ownPath(controller: string | undefined): string | undefined {
  for (const line of (readKernelFile("/proc/self/cgroup") ?? "").split("\n")) {
    const [, controllers, ...path] = line.split(":");
    if (controller === undefined ? controllers === "" : has(controllers, controller)) return path.join(":");
  }
  return undefined;
}

function has(list: string | undefined, item: string): boolean {
  return list?.split(",").includes(item) === true;
}

/** A number from a cgroup's file of one number, or of "name number" lines. Undefined when it has no such number. */
export function cgroupNumber(file: string, name?: string): number | undefined {
  const text = readKernelFile(file);
  if (text === undefined) return undefined;
  const value = name === undefined ? text : new RegExp(`^${name} (\\d+)$`, "m").exec(text)?.[1];
  const number = Number.parseInt(value ?? "", 10);
  return Number.isNaN(number) ? undefined : number;
}

/** Pids of the processes in a cgroup and those below it, without zombies; or the ids of their threads. */
export function cgroupPids(directory: string, what: "procs" | "threads" = "procs"): number[] {
  const pids = (readKernelFile(join(directory, `cgroup.${what}`)) ?? "").split("\n").filter(Boolean).map(Number);
  if ((cgroupNumber(join(directory, "cgroup.stat"), "nr_descendants") ?? 0) > 0) {
    for (const child of children(directory)) pids.push(...cgroupPids(child, what));
  }
  return pids;
}

/**
 * Removes a cgroup and those below it.
 *
 * @returns whether it is gone
 */
export function removeCgroup(directory: string): boolean {
  for (const child of children(directory)) removeCgroup(child);
  try {
    fs.rmdirSync(directory);
    return true;
  } catch {
    return !fs.existsSync(directory);
  }
}

function children(directory: string): string[] {
  try {
    return fs
      .readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(directory, entry.name));
  } catch {
    return [];
  }
}
