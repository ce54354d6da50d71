import { randomBytes } from "node:crypto";
import fs from "node:fs";
import { join } from "node:path";
import { BelayError, errnoOf, messageOf } from "../../../base/errors.ts";
import { Containment } from "../../../gen/belay/v1/job_pb.ts";
import type { ContainmentChoice } from "../../options.ts";
import { ownCgroup, removeCgroup } from "./cgroup.ts";
import { CgroupTree } from "./cgroup-tree.ts";
import { GroupTree } from "./group-tree.ts";
import { PlainGroupTree } from "./plain-group-tree.ts";
import { hasProc } from "./proc.ts";
import type { ProcessTree } from "./tree.ts";

/** A containment for a job's processes, ready to use. */
export interface ContainmentFound {
  readonly containment: Containment;
  /** Why no better containment is used; empty if this is the best. */
  readonly message: string;
  readonly tree: ProcessTree;
  /** Text in the environment of each of the job's processes, which identifies them. */
  readonly cookie: string;
  /** The job's cgroup; empty when it has none. */
  readonly cgroup: string;
  /** The job's cgroup in the hierarchy of a v1 memory controller; empty when it has none. */
  readonly memoryCgroup: string;
}

/**
 * Makes the best containment that the machine allows, or the chosen one.
 *
 * @throws BelayError `BAD_USAGE` when the chosen one is not available
 */
export function makeContainment(choice: ContainmentChoice): ContainmentFound {
  const cookie = makeCookie();
  if (choice !== "process-group") {
    const made = makeCgroup(cookie);
    if (typeof made !== "string") {
      const { directory: cgroup, memoryDirectory: memoryCgroup } = made;
      return { containment: Containment.CGROUP, message: "", tree: made, cookie, cgroup, memoryCgroup };
    }
    if (choice === "cgroup") throw new BelayError("BAD_USAGE", `Cannot use --containment "cgroup": ${made}`);
    return group(cookie, `No cgroup: ${made}`);
  }
  return group(cookie, "Process group was chosen");
}

/** A text that only the processes of one job have in their environment. */
export function makeCookie(): string {
  return randomBytes(16).toString("hex");
}

function group(cookie: string, why: string): ContainmentFound {
  const base = { containment: Containment.PROCESS_GROUP, cookie, cgroup: "", memoryCgroup: "" };
  if (!hasProc()) {
    const message = `${why}; there is no /proc either, so a process that leaves the job's process group is not found`;
    return { ...base, message, tree: new PlainGroupTree() };
  }
  return { ...base, message: why, tree: new GroupTree(cookie) };
}

/** Makes the job's cgroup and checks that it is usable, or returns a clause that says why it is not. */
function makeCgroup(cookie: string): CgroupTree | string {
  if (!hasProc()) return "this system has no cgroups";
  const parent = ownCgroup();
  if (parent === undefined) return "no cgroup v2 hierarchy is mounted";
  const directory = join(parent, `belay-${cookie.slice(0, 12)}`);
  try {
    fs.mkdirSync(directory);
  } catch (error) {
    return `cannot make a directory in "${parent}": ${reason(error)}`;
  }
  const problem = cgroupProblem(parent, directory);
  if (problem === undefined) return new CgroupTree(parent, directory);
  removeCgroup(directory);
  return problem;
}

function cgroupProblem(parent: string, directory: string): string | undefined {
  // Since Linux 5.14.
  if (!fs.existsSync(join(directory, "cgroup.kill"))) return "this kernel cannot kill a whole cgroup";
  const type = fs.readFileSync(join(directory, "cgroup.type"), "utf8").trim();
  if (type !== "domain") return `a cgroup in "${parent}" is of the type "${type}"`;
  for (const file of [join(parent, "cgroup.procs"), join(directory, "cgroup.procs"), join(directory, "cgroup.kill")]) {
    try {
      fs.accessSync(file, fs.constants.W_OK);
    } catch (error) {
      return `cannot write "${file}": ${reason(error)}`;
    }
  }
  return undefined;
}

function reason(error: unknown): string {
  const texts: Record<string, string> = {
    EACCES: "permission denied",
    EPERM: "permission denied",
    EROFS: "it is mounted read-only",
    ENOENT: "it does not exist",
  };
  return texts[errnoOf(error) ?? ""] ?? messageOf(error);
}
