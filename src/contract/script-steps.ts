import { create } from "@bufbuild/protobuf";
import { elide } from "../base/text/elide.ts";
import { type AfterStepResult, AfterStepResultSchema, type JobSpec } from "../gen/belay/v1/job_pb.ts";

/** Most characters of a step's name that is made from its script or command. */
export const MOST_STEP_NAME = 100;

/** The name of a setup step or a step after the end, for users: its own, or the first line of its script. */
export function scriptStepName({ name, run }: { readonly name: string; readonly run: string }): string {
  return name === "" ? elide(run.trim().split("\n", 1)[0] ?? "", MOST_STEP_NAME) : name;
}

/**
 * Results of a spec's steps after the end when none of them ran.
 *
 * @param spec the job's; at the tracker, the redacted one: a step's name may come from its script
 * @param why one sentence for users
 */
export function afterStepsNotRun({ after }: Pick<JobSpec, "after">, why: string): AfterStepResult[] {
  return after.map((step) => create(AfterStepResultSchema, { name: scriptStepName(step), notRun: why }));
}
