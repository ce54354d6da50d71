import { Feature, type JobSpec } from "../gen/belay/v1/job_pb.ts";

/** Features of this version, as agent and as tracker. */
export const FEATURES: readonly Feature[] = [Feature.ATTEMPTS, Feature.WARNING, Feature.AFTER_STEPS, Feature.STALL];

/** The features that an agent needs to run a spec, with the field that needs each. */
export function neededFeatures(spec: JobSpec): ReadonlyMap<Feature, string> {
  const needed = new Map<Feature, string>();
  if (spec.warnSignal !== "") needed.set(Feature.WARNING, "warn_signal");
  if (spec.after.length > 0) needed.set(Feature.AFTER_STEPS, "after");
  if (spec.stall !== undefined) needed.set(Feature.STALL, "stall");
  return needed;
}
