import type { Timer } from "../../base/clock.ts";
import type { Receipt } from "../../gen/belay/v1/tracker_service_pb.ts";
import type { SessionEnd } from "./session-end.ts";

/** What a session is doing. */
export type SessionState =
  /** Left when the transport is up (greeting) or fails (waiting). */
  | { readonly kind: "dialing"; readonly address: string }
  /** Hello is sent. Left by Welcome (open), or the end of the stream (waiting, closed). */
  | { readonly kind: "greeting"; readonly address: string }
  /** Left by the end of the stream (waiting, closed) or by the job's end (draining). */
  | { readonly kind: "open"; readonly address: string }
  /** The job has ended; records and Receipt are under way. Left by the Receipt (closed) or a lost stream (waiting). */
  | { readonly kind: "draining"; readonly address: string }
  /** Between two streams. Left when the delay is over, or an address was unreachable and no longer is (dialing). */
  | { readonly kind: "waiting"; readonly until: number; readonly why: string }
  /** Never left. */
  | { readonly kind: "closed"; readonly end: SessionEnd };

/** The last part of a session's work: the job has ended, and the rest is under way. */
export interface Drain {
  /** The tracker's confirmation that it has everything. */
  receipt: Receipt | undefined;
  /** Runs while everything is committed and only the Receipt is missing. */
  patience: Timer | undefined;
  /** Everything is committed, and the tracker has confirmed it or will not. */
  delivered: boolean;
}

/** Why a session closes before everything is delivered. */
export interface CloseReason {
  readonly why: string;
  /** What the session was doing when its time to be admitted was over. Undefined: `close` was called. */
  readonly timedOutIn: SessionState["kind"] | undefined;
}
