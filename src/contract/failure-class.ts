import { EndReason, FailureClass, type JobResult, Outcome, SpawnFailureKind } from "../gen/belay/v1/job_pb.ts";

/** A result as far as its class depends on it. */
export type ClassEvidence = Pick<JobResult, "outcome" | "reason" | "spawnFailure">;

/** The class of each reason, without further evidence. A test compares it with the table in `docs/attempts.md`. */
export const CLASS_OF_REASON: Readonly<Record<EndReason, FailureClass>> = {
  [EndReason.UNSPECIFIED]: FailureClass.UNSPECIFIED,
  [EndReason.EXITED]: FailureClass.JOB,
  [EndReason.SIGNALED]: FailureClass.JOB,
  [EndReason.OOM_KILLED]: FailureClass.JOB,
  [EndReason.TIMED_OUT]: FailureClass.JOB,
  [EndReason.STALLED]: FailureClass.JOB,
  // Unless the machine had no process or memory left to start a step: see `failureClass`.
  [EndReason.SPAWN_FAILED]: FailureClass.JOB,
  [EndReason.SETUP_FAILED]: FailureClass.JOB,
  [EndReason.CANCELED]: FailureClass.ORDERED,
  // A stop by Ctrl-C, and any stop under `--on-stop end`, is ORDERED. Only the agent can decide that.
  [EndReason.AGENT_STOPPED]: FailureClass.PREEMPTED,
  [EndReason.SUPERSEDED]: FailureClass.INFRASTRUCTURE,
  [EndReason.AGENT_LOST]: FailureClass.INFRASTRUCTURE,
  [EndReason.DISCONNECTED]: FailureClass.INFRASTRUCTURE,
  [EndReason.AGENT_FAILED]: FailureClass.INFRASTRUCTURE,
  [EndReason.NO_AGENT]: FailureClass.INFRASTRUCTURE,
};

/**
 * The class of a failure. Its law: it is decided by the reason and the evidence of the result, never by a meaning that
 * some program gives to an exit code.
 *
 * @param stop class of a stop of the agent, if the caller can decide it. @default PREEMPTED
 * @returns UNSPECIFIED for a success, and for a reason from a newer contract
 */
export function failureClass(
  { outcome, reason, spawnFailure }: ClassEvidence,
  stop: FailureClass = FailureClass.PREEMPTED,
): FailureClass {
  if (outcome === Outcome.SUCCEEDED) return FailureClass.UNSPECIFIED;
  if (reason === EndReason.AGENT_STOPPED) return stop;
  if (spawnFailure?.kind === SpawnFailureKind.NO_RESOURCES) return FailureClass.INFRASTRUCTURE;
  return CLASS_OF_REASON[reason] ?? FailureClass.UNSPECIFIED;
}
