import { status } from "@grpc/grpc-js";
import { formatDuration } from "../../contract/durations.ts";
import { BelayError } from "../../base/errors.ts";
import type { TrackerAddress } from "../../base/network/tracker-address.ts";
import { isEnded } from "../../contract/states.ts";
import { JobEndedError } from "./job-ended-error.ts";
import { GoodbyeReason, type Receipt } from "../../gen/belay/v1/tracker_service_pb.ts";
import type { StreamEnd } from "./stream.ts";
import { actionOn } from "./status-rulings.ts";

/** How a session ended. */
export type SessionEnd =
  /** Everything is committed. Without a Receipt if the tracker never sent one. */
  | { readonly kind: "delivered"; readonly receipt: Receipt | undefined }
  /** The tracker does not accept the session. */
  | { readonly kind: "refused" | "fenced"; readonly error: BelayError }
  /** No tracker admitted the session in time. */
  | { readonly kind: "unreachable"; readonly error: BelayError }
  /** `close` was called. */
  | { readonly kind: "abandoned"; readonly why: string };

/** Codes that add nothing to the message with them. */
const QUIET_CODES: ReadonlySet<status> = new Set([status.UNAVAILABLE, status.UNKNOWN, status.DEADLINE_EXCEEDED]);

/**
 * What the end of a stream means for its session.
 *
 * @param welcomed whether the session has ever been welcomed
 * @returns undefined if the session goes on
 */
export function endAfter(
  end: StreamEnd,
  address: TrackerAddress,
  jobId: string,
  welcomed: boolean,
): SessionEnd | undefined {
  const superseded = end.goodbye?.reason === GoodbyeReason.SUPERSEDED;
  switch (superseded ? "fenced" : actionOn(end.code, welcomed)) {
    case "retry":
      return undefined;
    case "fenced": {
      const why = end.goodbye?.message || end.message;
      return {
        kind: "fenced",
        error: new BelayError("SUPERSEDED", `Job "${jobId}" is no longer this agent's: ${why}`),
      };
    }
    case "refused": {
      const message = refusal(end, address, jobId);
      if (end.jobState !== undefined && isEnded(end.jobState))
        return { kind: "refused", error: new JobEndedError(message, end.jobState) };
      const code = end.code === status.NOT_FOUND ? "NOT_FOUND" : "TRACKER_REFUSED";
      return { kind: "refused", error: new BelayError(code, message) };
    }
  }
}

function refusal(end: StreamEnd, address: TrackerAddress, jobId: string): string {
  const why = `${end.message} (${status[end.code]})`;
  if (end.code === status.UNIMPLEMENTED) return `No tracker is at "${address.text}": ${why}`;
  return `The tracker at "${address.text}" refused job "${jobId}": ${why}`;
}

/** Codes that a connection, a proxy or a clean end gives, too; the others are what a tracker answers. */
const NOT_AN_ANSWER: ReadonlySet<status> = new Set([...QUIET_CODES, status.OK, status.CANCELLED, status.INTERNAL]);

/**
 * Why an agent has been without its tracker, for users.
 *
 * @param last how the latest stream ended. Undefined: none has
 * @param ms for how long
 */
export function absenceText(last: StreamEnd | undefined, ms: number): string {
  const refused = last?.connected === true && !NOT_AN_ANSWER.has(last.code);
  const what = refused ? "The tracker refused the agent" : "The tracker was away";
  return `${what} for ${formatDuration(ms)}${last === undefined ? "" : `: ${lastWords(false, last)}`}`;
}

/** What is known when the time to be admitted is over. */
export interface NotAdmitted {
  readonly jobId: string;
  readonly addresses: readonly TrackerAddress[];
  /** The time it had. Milliseconds. */
  readonly within: number;
  /** Whether Hello was sent on the stream that was open then. */
  readonly greeting: boolean;
  /** The stream before it. */
  readonly last: StreamEnd | undefined;
}

/** No tracker admitted the session in time: the error says which session has the job, or what answered instead. */
export function endUnadmitted({ jobId, addresses, within, greeting, last }: NotAdmitted): SessionEnd {
  const time = `within ${formatDuration(within)}`;
  if (last?.code === status.ALREADY_EXISTS) {
    const message = `Job "${jobId}" was not free ${time}: ${last.message}`;
    return { kind: "unreachable", error: new BelayError("JOB_TAKEN", message) };
  }
  if (last?.retryDelay !== undefined) {
    const message = `Nothing was run: ${last.message}, beyond the connect timeout of ${formatDuration(within)}`;
    return { kind: "unreachable", error: new BelayError("JOB_WAITS", message) };
  }
  const where = addresses.map(({ text }) => `"${text}"`).join(", ");
  // Something answered that is not a tracker, or not a healthy one.
  const what = last?.connected === true || greeting ? "let the agent in" : "answered";
  const message = `No tracker ${what} at ${where} ${time}: ${lastWords(greeting, last)}`;
  return { kind: "unreachable", error: new BelayError("TRACKER_UNREACHABLE", message) };
}

function lastWords(greeting: boolean, last: StreamEnd | undefined): string {
  if (last === undefined) return greeting ? "Hello was not answered" : "nothing was heard";
  return QUIET_CODES.has(last.code) ? last.message : `${last.message} (${status[last.code]})`;
}
