import { errnoOf } from "../../../base/errors.ts";
import { type Signal, signalNumber } from "../../../base/process/signals.ts";
import { isAlive, type ProcessEntry, readProcess } from "./proc.ts";

/** How often one delivery scans the tree, so that processes born meanwhile get the signal, too. */
const MOST_SCANS = 3;

/**
 * Sends a signal once to each process that a scan finds.
 *
 * @param wake continues stopped processes
 * @returns how many processes got the signal
 */
export function deliver(scan: () => ProcessEntry[], signal: Signal, wake: boolean): number {
  const reached = new Set<string>();
  for (let round = 0; round < MOST_SCANS; round++) {
    const fresh = scan().filter((entry) => !reached.has(identity(entry)));
    if (fresh.length === 0) break;
    for (const entry of fresh) {
      reached.add(identity(entry));
      sendTo(entry, signal);
      if (wake && entry.state === "T") sendTo(entry, "SIGCONT");
    }
  }
  return reached.size;
}

/** Sends a signal to one process, unless another process has its pid now. */
export function sendTo(entry: ProcessEntry, signal: Signal): void {
  const now = readProcess(entry.pid);
  if (now?.startTime === entry.startTime && isAlive(now)) sendTolerantly(entry.pid, signal);
}

/**
 * Sends a signal to each process of a group; 0 only checks that there is one.
 *
 * @returns whether the group exists
 */
export function sendToGroup(group: number, signal: Signal | 0): boolean {
  return sendTolerantly(-group, signal);
}

function sendTolerantly(target: number, signal: Signal | 0): boolean {
  try {
    // By number: Node has no names for real-time signals.
    process.kill(target, signal === 0 ? 0 : signalNumber(signal));
    return true;
  } catch (error) {
    // ESRCH: the process has just ended. EPERM: a set-user-id program of the job; it is reported as a survivor.
    if (errnoOf(error) !== "ESRCH" && errnoOf(error) !== "EPERM") throw error;
    return errnoOf(error) === "EPERM";
  }
}

/** Identifies a process among all of this boot, also among those that get its pid later. */
export function identity(entry: ProcessEntry): string {
  return `${entry.pid}@${entry.startTime}`;
}
