import { errnoOf } from "../../../base/errors.ts";
import { type Signal, signalNumber } from "../../../base/signals.ts";
import { isAlive, type ProcessEntry, readProcess } from "./proc.ts";

/** How often the tree is looked at in one delivery, so that those born meanwhile get the signal, too. */
const MOST_LOOKS = 3;

/**
 * Sends a signal once to each process that a look finds.
 *
 * @param wake lets those go on that are stopped
 * @returns how many got it
 */
export function deliver(look: () => ProcessEntry[], signal: Signal, wake: boolean): number {
  const reached = new Set<string>();
  for (let round = 0; round < MOST_LOOKS; round++) {
    const fresh = look().filter((entry) => !reached.has(identity(entry)));
    if (fresh.length === 0) break;
    for (const entry of fresh) {
      reached.add(identity(entry));
      sendTo(entry, signal);
      if (wake && entry.state === "T") sendTo(entry, "SIGCONT");
    }
  }
  return reached.size;
}

/** Sends a signal to one process, if it is still the one that was seen. */
export function sendTo(entry: ProcessEntry, signal: Signal): void {
  const now = readProcess(entry.pid);
  if (now?.startTime === entry.startTime && isAlive(now)) sendTolerantly(entry.pid, signal);
}

/**
 * Sends a signal to each process of a group; 0 only asks.
 *
 * @returns whether there is such a group
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
    // ESRCH: it has just ended. EPERM: a set-user-id program of the job; it shows up among the survivors.
    if (errnoOf(error) !== "ESRCH" && errnoOf(error) !== "EPERM") throw error;
    return errnoOf(error) === "EPERM";
  }
}

/** Tells a process from all others of this boot, also from those that get its id later. */
export function identity(entry: ProcessEntry): string {
  return `${entry.pid}@${entry.startTime}`;
}
