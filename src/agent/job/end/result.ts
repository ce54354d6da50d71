import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { failureClass } from "../../../contract/failure-class.ts";
import {
  type AfterStepResult,
  type Containment,
  type EndEvidence,
  EndEvidenceSchema,
  type JobResult,
  JobResultSchema,
  type ResourceUsage,
} from "../../../gen/belay/v1/job_pb.ts";
import type { TreeEnd } from "./ladder.ts";
import type { ProcessEntry } from "../tree/proc.ts";
import { countProcesses, describeProcesses, listProcesses } from "../tree/process-info.ts";
import type { Verdict } from "./verdict.ts";

/** What a result is made of. Times are milliseconds since the Unix epoch. */
export interface ResultParts {
  readonly verdict: Verdict;
  /** Processes of the job that outlived SIGKILL. */
  readonly survivors: readonly ProcessEntry[];
  /** Undefined: no step was started. */
  readonly startTime: number | undefined;
  readonly endTime: number;
  readonly usage: ResourceUsage;
  readonly evidence: EndEvidence | undefined;
  readonly pausedMs: number;
  /** What became of the steps after the end. */
  readonly after: AfterStepResult[];
}

/** Makes the result, all but `streams`: the report counts what was printed. */
export function makeResult(parts: ResultParts): JobResult {
  const { verdict, survivors, startTime, endTime, usage, evidence, pausedMs, after } = parts;
  const { exit, problem } = verdict;
  const outlived =
    survivors.length === 0 ? "" : `; ${countProcesses(survivors)} outlived SIGKILL: ${listProcesses(survivors)}`;
  const result = create(JobResultSchema, {
    outcome: verdict.outcome,
    reason: verdict.reason,
    message: `${verdict.message}${outlived}`,
    step: verdict.step,
    ...(exit?.code === undefined ? {} : { exitCode: exit.code }),
    signal: exit?.signal ?? "",
    endTime: timestampFromMs(endTime),
    ...(startTime === undefined ? {} : { startTime: timestampFromMs(startTime), usage }),
    ...(problem === undefined ? {} : { spawnFailure: problem.toFailure() }),
    ...(evidence === undefined ? {} : { evidence }),
    pausedDuration: durationFromMs(Math.round(pausedMs)),
    after,
  });
  result.failureClass = failureClass(result, verdict.stopClass);
  return result;
}

/** The evidence of an end by force. */
export function makeEvidence(
  askTime: number,
  commandId: string | undefined,
  end: TreeEnd,
  outputCut: boolean,
  containment: Containment,
): EndEvidence {
  return create(EndEvidenceSchema, {
    askTime: timestampFromMs(askTime),
    commandId: commandId ?? "",
    signals: end.rounds,
    ...(end.emptyTime === undefined ? {} : { treeEmptyTime: timestampFromMs(end.emptyTime) }),
    survivors: describeProcesses(end.survivors),
    outputCut,
    containment,
  });
}
