import { scriptStepName } from "../../../contract/script-steps.ts";
import type { Job } from "../../../gen/belay/v1/job_pb.ts";
import { clean } from "../clean.ts";

/**
 * The step that runs, if it is not the main command: `setup step 1 of 2`, `after-step 4, 1 of 2`. Empty: the main command
 * runs, or no step.
 *
 * @param step its number
 */
export function stepText({ spec }: Pick<Job, "spec">, step: number): string {
  const setups = spec?.setup.length ?? 0;
  const after = spec?.after.length ?? 0;
  if (step === 0 || step === setups + 1 || step > setups + 1 + after) return "";
  if (step <= setups) return `setup step ${step} of ${setups}`;
  return `after-step ${step}, ${step - setups - 1} of ${after}`;
}

/** The name of a setup step or a step after the end. Empty: it has none. */
export function stepName({ spec }: Pick<Job, "spec">, step: number): string {
  const scripts = spec?.setup ?? [];
  const found = scripts[step - 1] ?? spec?.after[step - scripts.length - 2];
  return found === undefined ? "" : clean(scriptStepName(found));
}
