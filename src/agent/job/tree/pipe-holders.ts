import fs from "node:fs";
import { isAlive, listPids, type ProcessEntry, readKernelFile, readProcess } from "./proc.ts";

/** The two lowest bits of open flags; 0 is read-only. */
const ACCESS_MODE = 0o3;

/**
 * Finds processes that can still write into the job's pipes.
 *
 * Only the job can hand out the write end of such a pipe, so this finds processes that nothing else finds: one that
 * left group, session and cgroup, cleared its environment and lost its parent, or one that a service started for the
 * job.
 *
 * @param directory where the pipes had their names; the kernel still shows those
 */
export function pipeHolders(directory: string): ProcessEntry[] {
  const holders: ProcessEntry[] = [];
  for (const pid of listPids()) {
    if (pid === process.pid || !holdsPipe(pid, `${directory}/`)) continue;
    const entry = readProcess(pid);
    if (entry !== undefined && isAlive(entry)) holders.push(entry);
  }
  return holders;
}

function holdsPipe(pid: number, prefix: string): boolean {
  let fds: string[];
  try {
    fds = fs.readdirSync(`/proc/${pid}/fd`);
  } catch {
    return false;
  }
  return fds.some((fd) => {
    try {
      if (!fs.readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith(prefix)) return false;
    } catch {
      return false;
    }
    const flags = /^flags:\s+(\d+)/m.exec(readKernelFile(`/proc/${pid}/fdinfo/${fd}`) ?? "")?.[1];
    return flags !== undefined && (Number.parseInt(flags, 8) & ACCESS_MODE) !== 0;
  });
}
