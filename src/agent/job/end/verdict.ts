import { EndReason, type FailureClass, Outcome } from "../../../gen/belay/v1/job_pb.ts";
import type { Step } from "../compile-spec.ts";
import type { ExitStatus } from "../start/spawn.ts";
import type { SpawnProblem } from "../start/spawn-problem.ts";
import type { EndOrder, SignalSource } from "../types.ts";
import { counted } from "../../../base/text/count.ts";

/** How a job ended: the part of its result that is decided once. */
export interface Verdict {
  readonly outcome: Outcome;
  readonly reason: EndReason;
  readonly message: string;
  /** Number of the step that decided. 0: none was started. */
  readonly step: number;
  readonly exit?: ExitStatus | undefined;
  readonly problem?: SpawnProblem;
  /** What a stop of the agent means. @default PREEMPTED */
  readonly stopClass?: FailureClass | undefined;
}

/** What is known besides the exit status of the deciding step. */
export interface Circumstances {
  /** Processes of the job that were killed because memory ran out. Undefined: not known for the job alone. */
  readonly oomKills: number | undefined;
  /** The same in the cgroup that the job shares with the agent. Undefined: not known, either. */
  readonly oomKillsAround: number | undefined;
  /** Signals that were sent to the job other than to end it, and where each comes from. */
  readonly signalsSent: ReadonlyMap<string, SignalSource>;
}

/** The verdict on a step that ended by itself. */
export function naturalVerdict(step: Step, exit: ExitStatus, circumstances: Circumstances): Verdict {
  const what = describeStep(step);
  const base = { step: step.number, exit };
  if (exit.code === 0) {
    return { ...base, outcome: Outcome.SUCCEEDED, reason: EndReason.EXITED, message: `${what} exited with code 0` };
  }
  const how = exit.signal === undefined ? `exited with code ${exit.code}` : `was ended by ${exit.signal}`;
  const failed = { ...base, outcome: Outcome.FAILED };
  if ((circumstances.oomKills ?? 0) > 0) {
    const message = `${what} ${how}: the kernel ran out of memory for the job and killed ${counted(circumstances.oomKills ?? 0, "process", "processes")} of it`;
    return { ...failed, reason: EndReason.OOM_KILLED, message };
  }
  // Other processes may be in the shared cgroup, so both are needed: a count that rose, and an end by SIGKILL.
  const killed = exit.signal === "SIGKILL" || exit.code === 137;
  if (killed && circumstances.oomKills === undefined && (circumstances.oomKillsAround ?? 0) > 0) {
    const message = `${what} ${how}: the kernel ran out of memory in the cgroup of agent and job, and killed ${counted(circumstances.oomKillsAround ?? 0, "process", "processes")} there`;
    return { ...failed, reason: EndReason.OOM_KILLED, message };
  }
  const message = `${what} ${how}${exit.signal === undefined ? "" : sender(exit.signal, circumstances)}`;
  if (!step.main) return { ...failed, reason: EndReason.SETUP_FAILED, message };
  return { ...failed, reason: exit.signal === undefined ? EndReason.EXITED : EndReason.SIGNALED, message };
}

/** The verdict on a step that could not be started. */
export function spawnVerdict(step: Step, problem: SpawnProblem): Verdict {
  return {
    outcome: Outcome.FAILED,
    reason: step.main || step.after !== undefined ? EndReason.SPAWN_FAILED : EndReason.SETUP_FAILED,
    message: step.main ? problem.message : `${describeStep(step)}: ${problem.message}`,
    step: step.number,
    problem,
  };
}

/** The verdict on a job that was ended by an order. */
export function orderedVerdict(order: EndOrder, step: number, exit: ExitStatus | undefined): Verdict {
  const failed =
    order.reason === EndReason.TIMED_OUT ||
    order.reason === EndReason.STALLED ||
    order.reason === EndReason.AGENT_FAILED ||
    order.reason === EndReason.UNSPECIFIED;
  const outcome = failed ? Outcome.FAILED : Outcome.CANCELED;
  return { outcome, reason: order.reason, message: order.message, step, exit, stopClass: order.failureClass };
}

/**
 * The verdict on a job that ended by itself shortly before its agent was asked to stop: what stops the agent has sent its
 * signal to the job as well.
 *
 * @param askTime when the agent was asked, in milliseconds since the Unix epoch
 */
export function stoppedVerdict(order: EndOrder, askTime: number, own: Verdict): Verdict {
  const after = Math.max(0, Math.round(askTime - (own.exit?.time ?? askTime)));
  const message = `${order.message}, ${after} ms after this end of the job: ${own.message}`;
  return { ...orderedVerdict(order, own.step, own.exit), message };
}

/** A step for the beginning of a sentence. */
export function describeStep(step: Step): string {
  if (step.main) return "Main command";
  return `${step.after === undefined ? "Setup step" : "After-step"} ${step.number} "${step.name}"`;
}

function sender(signal: string, { oomKills, oomKillsAround, signalsSent }: Circumstances): string {
  const source = signalsSent.get(signal);
  if (source === "command") return ", which a signal command had sent";
  if (source === "agent") return ", which the agent had received and passed on";
  if (source === "warning") return ", which the agent had sent as the warning, and which it does not handle";
  if (signal !== "SIGKILL") return "";
  const cause =
    oomKills === undefined && oomKillsAround === undefined
      ? "; whether the machine was out of memory cannot be known here"
      : "";
  return `, which the agent did not send${cause}`;
}
