import { elide } from "./text/elide.ts";

/**
 * What went wrong, as a code that programs can test. Each is explained in docs/errors.md.
 *
 * - `BAD_USAGE`: a flag, argument or option cannot be used as given.
 * - `BAD_SPEC`: a job spec breaks a rule; the message names the place.
 * - `TRACKER_UNREACHABLE`: no tracker answered within the connect timeout.
 * - `TRACKER_REFUSED`: a tracker answered and rejected this agent or call; trying again would not help.
 * - `JOB_TAKEN`: another session holds the job.
 * - `JOB_WAITS`: the job's next attempt may not start yet; nothing was run.
 * - `SUPERSEDED`: a higher attempt of the job exists.
 * - `STOPPED`: the agent was stopped before the tracker gave it the job; nothing was run.
 * - `ORDER_REJECTED`: the job cannot do what an order asks in its present state; the message is the agent's.
 * - `WAIT_TIMED_OUT`: a wait reached its time limit. This stopped neither the job nor the order that was waited for.
 * - `NOT_FOUND`: the tracker has no such job.
 * - `STORE`: the tracker's data directory cannot be used.
 * - `SPOOL`: an agent's spool directory cannot be used.
 * - `ADDRESS_IN_USE`: the port is taken.
 * - `CALLBACK_FAILED`: a function of the calling program threw, or its promise was rejected; everything else went on.
 * - `INTERNAL`: a bug in Belay.
 */
export type BelayErrorCode =
  | "BAD_USAGE"
  | "BAD_SPEC"
  | "TRACKER_UNREACHABLE"
  | "TRACKER_REFUSED"
  | "JOB_TAKEN"
  | "JOB_WAITS"
  | "SUPERSEDED"
  | "STOPPED"
  | "ORDER_REJECTED"
  | "WAIT_TIMED_OUT"
  | "NOT_FOUND"
  | "STORE"
  | "SPOOL"
  | "ADDRESS_IN_USE"
  | "CALLBACK_FAILED"
  | "INTERNAL";

/** Most characters of a message: it may contain a user's value, which may be of any length. */
const MOST_MESSAGE = 2000;

/** The one error class of Belay. Its message says what was wanted and what was found; `cause` keeps the original. */
export class BelayError extends Error {
  override readonly name = "BelayError";
  readonly code: BelayErrorCode;

  constructor(code: BelayErrorCode, message: string, options?: { cause?: unknown }) {
    super(elide(message, MOST_MESSAGE), options);
    this.code = code;
  }
}

/** The message of whatever was thrown, on one line. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return elide(text, MOST_MESSAGE).replaceAll(/\s*\n\s*/g, " ");
}

/** The system's name of an error, such as "ENOENT", or undefined if it carries none. */
export function errnoOf(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}
