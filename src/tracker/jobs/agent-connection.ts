import type { CommandKind, StatusReport } from "../../gen/belay/v1/job_pb.ts";
import type { Command, GoodbyeReason, Receipt } from "../../gen/belay/v1/tracker_service_pb.ts";

/** The open stream of the session that has a job, as the job sees it. */
export interface AgentConnection {
  readonly sessionId: string;
  /** True while we do not read since our disk is slow; the agent's silence is then our own. */
  readonly holding: boolean;
  supports(kind: CommandKind): boolean;
  send(command: Command): void;
  receipt(receipt: Receipt): void;
  /** Sends the reason, then ends the stream. */
  goodbye(reason: GoodbyeReason, message: string): void;
  /** Ends the stream with an error. */
  fail(error: Error): void;
}

/** The answer to a status command: a report, or why there is no report. */
export type StatusAnswer = { readonly report: StatusReport } | { readonly rejected: string };

/** A status command whose caller waits for the answer. It is not stored: without its caller, the answer is useless. */
export interface Probe {
  readonly command: Command;
  answer(answer: StatusAnswer): void;
}
