import { systemClock } from "../../base/clock.ts";
import type { AfterStepResult, JobResult, ResourceUsage } from "../../gen/belay/v1/job_pb.ts";
import type { Cause } from "./cause.ts";
import type { CompiledSpec } from "./compile-spec.ts";
import type { Closing } from "./end/closing.ts";
import type { TreeEnd } from "./end/ladder.ts";
import { makeEvidence, makeResult } from "./end/result.ts";
import { describeStep, type Verdict } from "./end/verdict.ts";
import type { Warning } from "./end/warning.ts";
import type { JobOutput } from "./output/output.ts";
import type { PauseClock } from "./pause-clock.ts";
import type { Launched } from "./start/launch.ts";
import type { PreparedJob } from "./start/prepare.ts";
import { countProcesses, listProcesses } from "./tree/process-info.ts";
import type { JobHandlers } from "./types.ts";
import type { Sampler } from "./usage/sampler.ts";

/** The parts of a job that its end needs. */
export interface FinishParts {
  readonly spec: CompiledSpec;
  readonly prepared: PreparedJob;
  readonly handlers: JobHandlers;
  readonly cause: Cause;
  readonly output: JobOutput;
  readonly closing: Closing;
  readonly sampler: Sampler;
  readonly pauses: PauseClock;
  readonly warning: Warning;
  /** Runs the steps after the end, which `spec` has. */
  readonly runAfter: (end: TreeEnd) => Promise<AfterStepResult[]>;
}

/** What is known when the last step has ended. */
export interface LastStep {
  readonly verdict: Verdict;
  /** Undefined: no step was started. */
  readonly running: Launched | undefined;
  /** Milliseconds since the Unix epoch. Undefined: no step was started. */
  readonly startTime: number | undefined;
  /** When nothing of the job was left, where that was before any order. Undefined: something was. */
  readonly emptyTime: number | undefined;
}

/** What is known when every process has ended and the output was read. */
interface Closed {
  readonly end: TreeEnd;
  readonly usage: ResourceUsage;
  readonly outputCut: boolean;
}

/** Ends the processes that are left, reads the output to its end, runs the steps after the end and makes the result. */
export async function finishJob(parts: FinishParts, last: LastStep): Promise<JobResult> {
  const { prepared, cause, pauses, spec, sampler, warning } = parts;
  const { ordered } = cause;
  const askTime = ordered?.askTime ?? systemClock.unixMs();
  const { end, usage, outputCut } = keepsProcesses(parts, last)
    ? await releaseProcesses(parts)
    : await endAll(parts, last);
  const endTime = last.emptyTime ?? end.emptyTime ?? systemClock.unixMs();
  pauses.end();
  const rounds = [...warning.rounds, ...end.rounds];
  const after = spec.after.length === 0 ? [] : await parts.runAfter(end);
  const forced = ordered !== undefined || end.rounds.length > 0 || outputCut;
  return makeResult({
    verdict: last.verdict,
    survivors: end.survivors,
    startTime: last.startTime,
    endTime,
    // These steps are the attempt's, too.
    usage: after.length === 0 ? usage : sampler.total(),
    after,
    pausedMs: pauses.pausedMs,
    evidence: forced
      ? makeEvidence(askTime, ordered?.order.commandId, { ...end, rounds }, outputCut, prepared.containment)
      : undefined,
  });
}

/** Whether the processes that are left go on: only when the main command ended by itself. */
function keepsProcesses({ spec, cause }: FinishParts, { running }: LastStep): boolean {
  return spec.keepDescendants && cause.ordered === undefined && running?.step.main === true;
}

async function releaseProcesses({ sampler, output, prepared }: FinishParts): Promise<Closed> {
  const usage = sampler.total();
  await output.drain(new AbortController().signal);
  output.close();
  prepared.release();
  return { end: { rounds: [], emptyTime: systemClock.unixMs(), survivors: [] }, usage, outputCut: false };
}

async function endAll(parts: FinishParts, last: LastStep): Promise<Closed> {
  const { closing, sampler, cause } = parts;
  const { ordered } = cause;
  const force = (): void => noticeLeftovers(parts, last);
  const first = ordered === undefined ? await closing.endLeftovers(force) : await ordered.tree;
  const end = await closing.endHolders(first, force);
  const usage = sampler.total();
  return { end, usage, outputCut: await closing.finishOutput() };
}

function noticeLeftovers({ prepared, cause, handlers }: FinishParts, { running }: LastStep): void {
  if (cause.ordered !== undefined || running === undefined) return;
  const left = prepared.tree.members();
  if (left.length === 0) return;
  const what = `${countProcesses(left)} behind, which the agent ends: ${listProcesses(left)}`;
  handlers.notice(running.step.number, `${describeStep(running.step)} left ${what}`);
}
