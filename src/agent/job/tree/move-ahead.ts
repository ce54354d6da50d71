import fs from "node:fs";
import { join } from "node:path";
import { systemClock, type Timer } from "../../../base/clock.ts";

/** Time between two rehearsals, in milliseconds; the kernel forgets one in about 10. */
const EVERY_MS = 4;
/** Rehearsals stop after this time, in milliseconds; a later start waits for the kernel. */
const LONGEST_MS = 2000;

/**
 * Rehearses a move between cgroups, off the event loop, so that the real one is quick.
 *
 * To move a process, the kernel takes a lock against all forks, and the first move waits for an RCU grace period: 5 to
 * 15 ms. Later moves, until one more grace period after the last, get the lock at once (`rcu_sync` in the kernel's
 * sources): 0.1 ms. Moving a process to the cgroup that it is already in takes the same lock.
 *
 * A rehearsal moves another process, never the agent: it may still be under way in its thread when the agent enters the
 * job's cgroup for the fork, and would move the agent out again before the fork.
 */
export class MoveAhead {
  private readonly file: string;
  private readonly rehearsalPid: () => number;
  private readonly deadline: number;
  private fd: number | undefined;
  private timer: Timer | undefined;
  private busy = false;
  private stopped = false;

  /**
   * @param directory a cgroup
   * @param rehearsalPid returns the pid of a process that stays in that cgroup
   */
  constructor(directory: string, rehearsalPid: () => number) {
    this.file = join(directory, "cgroup.procs");
    this.rehearsalPid = rehearsalPid;
    this.deadline = systemClock.monotonic() + LONGEST_MS;
    try {
      this.fd = fs.openSync(this.file, "w");
    } catch {
      return;
    }
    this.rehearse(this.fd);
  }

  /** Starts no more rehearsals. Closes the file when the rehearsal under way has ended. */
  stop(): void {
    this.stopped = true;
    this.timer?.cancel();
    this.timer = undefined;
    if (this.busy || this.fd === undefined) return;
    fs.closeSync(this.fd);
    this.fd = undefined;
  }

  private rehearse(fd: number): void {
    const pid = this.rehearsalPid();
    // To the kernel, 0 means the process that writes.
    if (pid <= 0 || pid === process.pid) {
      this.stop();
      return;
    }
    this.busy = true;
    fs.write(fd, String(pid), (error) => {
      this.busy = false;
      if (error !== null || this.stopped || systemClock.monotonic() > this.deadline) this.stop();
      else this.timer = systemClock.after(EVERY_MS, () => this.rehearse(fd));
    });
  }
}
