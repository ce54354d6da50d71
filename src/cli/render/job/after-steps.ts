import { formatDuration } from "../../../contract/durations.ts";
import { EndReason, type AfterStepResult, type JobResult } from "../../../gen/belay/v1/job_pb.ts";
import { clean } from "../clean.ts";
import { msOf } from "../time.ts";

/** What a user must know of the steps after the end: a line for each that should have exited with code 0 and did not. */
export function afterStepProblems({ after, reason }: JobResult): string[] {
  return after.flatMap((step) => {
    const message = clean(step.message);
    if (step.step !== 0 || step.skipped) return message === "" ? [] : [message];
    // A result that another process made for a dead agent: the step may have run.
    const what = reason === EndReason.AGENT_LOST ? "has no result" : "did not run";
    return [`After-step "${clean(step.name)}" ${what}: ${clean(step.notRun)}`];
  });
}

/** What became of each step after the end, a line for each. */
export function afterStepLines({ after }: JobResult): string[] {
  const width = Math.max(...after.map(({ name }) => clean(name).length), 0);
  return after.map((step) => {
    const number = step.step === 0 ? "" : `step ${step.step}`;
    return `${number.padEnd(8)}  ${clean(step.name).padEnd(width)}  ${fate(step)}`.trimEnd();
  });
}

function fate({ step, exitCode, signal, duration, timedOut, skipped, notRun }: AfterStepResult): string {
  if (step === 0) return `${skipped ? "skipped" : "not run"}: ${clean(notRun)}`;
  const how = exitCode === undefined ? clean(signal) || "outlived SIGKILL" : `exit code ${exitCode}`;
  return `${how}${duration === undefined ? "" : ` after ${formatDuration(msOf(duration))}`}${timedOut ? ", its time was over" : ""}`;
}
