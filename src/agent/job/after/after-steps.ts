import { create } from "@bufbuild/protobuf";
import { messageOf } from "../../../base/errors.ts";
import { outcomeName, reasonName } from "../../../contract/names.ts";
import { AfterCondition, type AfterStepResult, AfterStepResultSchema, Outcome } from "../../../gen/belay/v1/job_pb.ts";
import type { AfterStep } from "../compile-spec.ts";
import { describeStep, type Verdict } from "../end/verdict.ts";
import { SpawnProblem } from "../start/spawn-problem.ts";
import type { ProcessEntry } from "../tree/proc.ts";
import { listProcesses } from "../tree/process-info.ts";
import type { EndOrder } from "../types.ts";
import { type AfterHost, type AfterStepOver, AfterStepRun, countOomKills } from "./after-step.ts";

/** The outcome after which a step with this condition runs. ALWAYS, and a step that names none, are not in it. */
const OUTCOME_OF: ReadonlyMap<AfterCondition, Outcome> = new Map([
  [AfterCondition.SUCCESS, Outcome.SUCCEEDED],
  [AfterCondition.FAILURE, Outcome.FAILED],
  [AfterCondition.CANCELED, Outcome.CANCELED],
]);

/** How the command ended. */
export interface CommandEnd {
  readonly verdict: Verdict;
  /** The order that ended the job. Undefined: it ended by itself. */
  readonly order: EndOrder | undefined;
  /** Whether a step was started. */
  readonly started: boolean;
  /** Processes that outlived SIGKILL. */
  readonly survivors: readonly ProcessEntry[];
}

/**
 * Runs the steps after the end, one after the other. Nothing of the command is left when the first one starts, and
 * nothing of a step when the next one starts; otherwise those that follow do not run.
 *
 * @returns what became of each, in order
 */
export async function runAfterSteps(host: AfterHost, end: CommandEnd): Promise<AfterStepResult[]> {
  const { spec, prepared, orders, handlers } = host;
  // The job may have been paused when something else ended it.
  prepared.tree.thaw();
  prepared.pipes.provide((spec.steps.length + spec.after.length) * 2);
  orders.begin(end.order);
  await handlers.stepOver?.();
  let obstacle = obstacleOf(end);
  const results: AfterStepResult[] = [];
  for (const step of spec.after) {
    const needed = OUTCOME_OF.get(step.after.when);
    if (needed !== undefined && needed !== end.verdict.outcome) {
      const notRun = `It runs only when the outcome is ${outcomeName(needed)}; it was ${outcomeName(end.verdict.outcome)}`;
      results.push(create(AfterStepResultSchema, { name: step.name, notRun, skipped: true }));
      continue;
    }
    const over = await runOne(host, step, end.verdict, obstacle);
    results.push(over.result);
    if (over.survivors !== "") obstacle ??= `Processes of an earlier step outlived SIGKILL: ${over.survivors}`;
  }
  orders.finish();
  return results;
}

function obstacleOf({ order, started, survivors }: CommandEnd): string | undefined {
  if (survivors.length > 0) return `Processes of the job outlived SIGKILL: ${listProcesses(survivors)}`;
  return order !== undefined && !started ? "The job was ended before its first step started" : undefined;
}

async function runOne(
  host: AfterHost,
  step: AfterStep,
  verdict: Verdict,
  obstacle: string | undefined,
): Promise<AfterStepOver> {
  let notRun = obstacle ?? "";
  try {
    const run = obstacle ?? (await launch(host, step, outcomeEnvironment(verdict)));
    if (typeof run !== "string") {
      host.orders.runs(run);
      return await run.over();
    }
    notRun = run;
  } catch (error) {
    notRun = `The agent failed: ${messageOf(error)}`;
  } finally {
    host.orders.runs(undefined);
  }
  host.handlers.notice(0, `${describeStep(step)} did not run: ${notRun}`);
  return { result: create(AfterStepResultSchema, { name: step.name, notRun }), survivors: "" };
}

/** @returns why it was not started, as a sentence for users */
async function launch(
  host: AfterHost,
  step: AfterStep,
  environment: Readonly<Record<string, string>>,
): Promise<AfterStepRun | string> {
  const { orders, prepared } = host;
  for (;;) {
    await orders.whenResumed();
    if (orders.notRunReason !== undefined) return orders.notRunReason;
    const oomKills = countOomKills(prepared.tree);
    const launched = await host.start(step, environment);
    if (launched instanceof SpawnProblem) return launched.message;
    if (launched !== undefined) return new AfterStepRun(host, step, launched, oomKills);
  }
}

/** What a step may know about the end. */
function outcomeEnvironment({ outcome, reason, exit }: Verdict): Readonly<Record<string, string>> {
  return {
    BELAY_OUTCOME: outcomeName(outcome),
    BELAY_END_REASON: reasonName(reason),
    BELAY_EXIT_CODE: exit?.code === undefined ? "" : String(exit.code),
    BELAY_SIGNAL: exit?.signal ?? "",
  };
}
