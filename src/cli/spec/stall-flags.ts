import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { BelayError } from "../../base/errors.ts";
import { type JobSpec, StallAction, StallPolicySchema } from "../../gen/belay/v1/job_pb.ts";
import type { Flag, Grouped, Values } from "../flags/flags.ts";
import { choice, duration, grouped } from "../flags/flags.ts";

/** Flags that define when a command counts as hanging. */
export type StallFlags = Grouped<{
  stallAfter: Flag<number | undefined>;
  stallAction: Flag<"report" | "end" | undefined>;
}>;

/** See StallFlags. */
export const stallFlags: StallFlags = grouped("Job", {
  stallAfter: duration({
    help: "report the job as STALLED when the command has neither printed anything nor written to $BELAY_METRICS for this long",
  }),
  stallAction: choice(["report", "end"], {
    help: "what to do with a stalled job: report shows it in the job's health, end also ends the job",
    defaultText: "report",
  }),
});

/**
 * Puts the flags into a spec. Each flag overrides the same field of a spec file.
 *
 * @throws BelayError `BAD_USAGE`
 */
export function applyStallFlags(spec: JobSpec, { stallAfter, stallAction }: Values<StallFlags>): void {
  if (stallAfter === undefined && stallAction === undefined) return;
  if (stallAfter === 0) {
    const problem = "expected the time without a sign of life, more than 0";
    throw new BelayError("BAD_USAGE", `Cannot use --stall-after "0": ${problem}`);
  }
  if (stallAfter === undefined && spec.stall === undefined) {
    const problem = "the time after which a job counts as stalled";
    throw new BelayError("BAD_USAGE", `Cannot use --stall-action without --stall-after, ${problem}`);
  }
  const stall = (spec.stall ??= create(StallPolicySchema));
  if (stallAfter !== undefined) stall.after = durationFromMs(stallAfter);
  if (stallAction !== undefined) stall.action = stallAction === "end" ? StallAction.END : StallAction.REPORT;
}
