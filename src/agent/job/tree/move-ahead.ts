import fs from "node:fs";
import { join } from "node:path";
import { systemClock, type Timer } from "../../../base/clock.ts";

/** Time between two rehearsals, in milliseconds; the kernel forgets one in about 10. */
const EVERY_MS = 4;
/** A start that has not come by then, in milliseconds, will have to wait for the kernel. */
const LONGEST_MS = 2000;

/**
 * Rehearses a move between cgroups, off the event loop, so that the real one is quick.
 *
 * To move a process, the kernel takes a lock against all forks, and the first to take it waits for an RCU grace period: 5
 * to 15 ms. For the next moves, until one more grace period after the last, the lock is at hand (`rcu_sync` in the
 * kernel's sources): 0.1 ms. A move to where the process is already takes the lock like any other.
 *
 * The one that is moved is a bystander, never the agent: a rehearsal may still be under way in its thread when the agent
 * steps into the job's cgroup for the fork, and would take it out again before the fork.
 */
export class MoveAhead {
  private readonly file: string;
  private readonly bystander: () => number;
  private readonly deadline: number;
  private fd: number | undefined;
  private timer: Timer | undefined;
  private busy = false;
  private stopped = false;

  /**
   * @param directory a cgroup
   * @param bystander id of a process that is in it to stay
   */
  constructor(directory: string, bystander: () => number) {
    this.file = join(directory, "cgroup.procs");
    this.bystander = bystander;
    this.deadline = systemClock.monotonic() + LONGEST_MS;
    try {
      this.fd = fs.openSync(this.file, "w");
    } catch {
      return;
    }
    this.rehearse(this.fd);
  }

  /** Does no more from now on; gives its file back when the rehearsal under way is over. */
  stop(): void {
    this.stopped = true;
    this.timer?.cancel();
    this.timer = undefined;
    if (this.busy || this.fd === undefined) return;
    fs.closeSync(this.fd);
    this.fd = undefined;
  }

  private rehearse(fd: number): void {
    const pid = this.bystander();
    // To the kernel, 0 is whoever writes.
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
