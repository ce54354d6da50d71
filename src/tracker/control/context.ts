import type { HandlerContext } from "@connectrpc/connect";
import { Code, ConnectError } from "@connectrpc/connect";
import { idProblem } from "../../base/ids.ts";
import { BadRequestSchema } from "../../gen/google/rpc/error_details_pb.ts";
import type { LiveJob } from "../jobs/live-job.ts";
import type { JobContext } from "../jobs/context.ts";
import type { JobChanges } from "../jobs/job-changes.ts";
import type { JobRegistry } from "../jobs/registry.ts";
import type { CallerFacts } from "../net/caller.ts";

/** The dependencies and settings of JobService. */
export interface ControlContext extends JobContext {
  readonly changes: JobChanges;
  /** Most bytes of a job spec. */
  readonly specBytes: number;
  /** Milliseconds of silence after which a stream sends a keepalive, an answer without content. 0: never. */
  readonly keepaliveInterval: number;
  callerOf(context: HandlerContext): CallerFacts;
}

/**
 * An INVALID_ARGUMENT: names field and rule, in its message for users and as google.rpc.BadRequest for programs.
 *
 * @param message begins with the field's path
 */
export function invalid(message: string): ConnectError {
  const [field = ""] = message.split(" ", 1);
  const value = { fieldViolations: [{ field, description: message }] };
  return new ConnectError(message, Code.InvalidArgument, undefined, [{ desc: BadRequestSchema, value }]);
}

/** Throws if there is a problem. */
export function check(problem: string | undefined): void {
  if (problem !== undefined) throw invalid(problem);
}

/** @throws ConnectError INVALID_ARGUMENT or NOT_FOUND */
export async function jobOf(registry: JobRegistry, jobId: string): Promise<LiveJob> {
  const problem = idProblem(jobId);
  if (problem !== undefined) throw invalid(`job_id ${problem}`);
  return registry.get(jobId);
}

/** The error of a call that asks for an attempt of a job that has fewer. */
export function noSuchAttempt({ id, attempt: latest }: LiveJob, wanted: number): ConnectError {
  const found = latest === undefined ? "no agent has had it yet" : `the latest is ${latest.attempt}`;
  return new ConnectError(`Job "${id}" has no attempt ${wanted}: ${found}`, Code.NotFound);
}

/** The same job, or the one loaded from disk in its place after a change could not be stored. */
export async function currentOf(registry: JobRegistry, live: LiveJob): Promise<LiveJob> {
  return live.abandoned ? registry.get(live.id) : live;
}
