import { BelayError } from "../../base/errors.ts";
import { idProblem } from "../../base/ids.ts";
import type { Job } from "../../gen/belay/v1/job_pb.ts";

/** The argument of every command about one job. */
export const jobArgument: { readonly name: string; readonly help: string } = { name: "<job>", help: "the job's id" };

/** The first argument as a job's id. @throws BelayError `BAD_USAGE` */
export function onlyJob(args: readonly string[]): string {
  return checkJobId(args[0] ?? "", "job id");
}

/** Checks a job's id. @throws BelayError `BAD_USAGE` */
export function checkJobId(id: string, what: string): string {
  const problem = idProblem(id);
  if (problem !== undefined) throw new BelayError("BAD_USAGE", `Cannot use ${what} ${problem}`);
  return id;
}

/** The job of an answer. @throws BelayError `INTERNAL` if a tracker breaks the contract */
export function presentJob(answer: { readonly job?: Job | undefined }): Job {
  if (answer.job === undefined) throw new BelayError("INTERNAL", "The tracker's answer has no job in it");
  return answer.job;
}
