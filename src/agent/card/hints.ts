import { EndReason } from "../../gen/belay/v1/job_pb.ts";
import type { Evidence, Hint } from "./evidence.ts";
import { stallHint, timeoutHint } from "./order-hints.ts";
import { diskHint, gpuMemoryHint, pythonHint, setupHint, shellHint, silenceHint } from "./output-hints.ts";
import { memoryHint, signalHint } from "./signal-hints.ts";
import { startHint } from "./start-hints.ts";

/** Ends that the agent decided, and how it did: the output does not explain them. */
const OF_ORDERS: readonly Hint[] = [timeoutHint, stallHint];
/** Ends that the job decided. What the kernel reports comes before what the job wrote. */
const OF_JOB: readonly Hint[] = [
  startHint,
  memoryHint,
  diskHint,
  gpuMemoryHint,
  pythonHint,
  signalHint,
  shellHint,
  silenceHint,
  setupHint,
];
const JOB_DECIDED: ReadonlySet<EndReason> = new Set([
  EndReason.EXITED,
  EndReason.SIGNALED,
  EndReason.OOM_KILLED,
  EndReason.SPAWN_FAILED,
  EndReason.SETUP_FAILED,
]);

/**
 * The likely cause of a failure and what to do, in one sentence.
 *
 * Its law: it says what the evidence shows, and what it shows by convention only, it names as such.
 *
 * @returns empty when the evidence does not allow one
 */
export function hintOf(evidence: Evidence): string {
  const hints = JOB_DECIDED.has(evidence.result.reason) ? OF_JOB : OF_ORDERS;
  for (const hint of hints) {
    const sentence = hint(evidence);
    if (sentence !== undefined) return sentence;
  }
  return "";
}
