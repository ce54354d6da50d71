import { status } from "@grpc/grpc-js";

/**
 * What the end of a stream means for its session.
 *
 * - `retry`: dial again.
 * - `refused`: end the session; a job that runs goes on to its end, and its outcome is not delivered.
 * - `fenced`: end the session and kill the job: another session has it, or it has ended.
 */
export type StatusAction = "retry" | "refused" | "fenced";

/** What is done about a status code, and why. */
export interface Ruling {
  /** Before the session was welcomed for the first time: nothing runs yet, and a person may be watching. */
  readonly first: StatusAction;
  /** From the first Welcome on: a job may run, and a code of a proxy or of a bad moment must not kill it. */
  readonly later: StatusAction;
  readonly because: string;
}

const again = { first: "retry", later: "retry" } as const;
const atFirst = { first: "refused", later: "retry" } as const;

/**
 * Which status codes end a session and which are retried: one table, which docs/errors.md repeats. Most codes can come
 * from a proxy, or from grpc-js itself, as well as from a tracker; those are retried.
 */
export const RULINGS: Readonly<Record<keyof typeof status, Ruling>> = {
  OK: { ...again, because: "a stream that ends cleanly before its time is a disconnect like any other" },
  CANCELLED: { ...again, because: "the stream was reset, by a proxy mostly" },
  UNKNOWN: { ...again, because: "an answer that is not gRPC, such as a proxy's page while the tracker is away" },
  INVALID_ARGUMENT: {
    first: "refused",
    later: "refused",
    because:
      "a message of Belay broke the contract, or the spec has another retry policy than the job was created with; the same message would be sent again",
  },
  DEADLINE_EXCEEDED: { ...again, because: "silence" },
  NOT_FOUND: {
    ...atFirst,
    because:
      "the job is unknown and we have no spec for it; later: a tracker that lost its data, or the wrong one at the " +
      "address. A running job cannot be deleted, so it may be found again",
  },
  ALREADY_EXISTS: {
    ...again,
    because:
      "another session has the job, and its lease may run out; or the log of the attempt before still arrives. `JOB_TAKEN` when the connect timeout is over",
  },
  PERMISSION_DENIED: { ...atFirst, because: "as UNAUTHENTICATED" },
  RESOURCE_EXHAUSTED: {
    ...again,
    because:
      "a tracker or proxy that is overloaded, whose disk is full, or that has as many agents of this client as it takes (the message names the limit)",
  },
  FAILED_PRECONDITION: {
    first: "refused",
    later: "fenced",
    because:
      "the job has ended, was taken over, was LOST for too long, or needs an agent that is newer (the message names the field of the spec)",
  },
  ABORTED: {
    ...again,
    because: "a conflict of the moment, or a tracker whose disk has room again and wants what it could not store",
  },
  OUT_OF_RANGE: { ...again, because: "a sequence was skipped; the next Welcome says where to go on" },
  UNIMPLEMENTED: {
    ...atFirst,
    because: "not a Belay tracker, or a web server's 404; later: a deployment behind a proxy in a half-way state",
  },
  INTERNAL: {
    ...again,
    because:
      "a fault of the tracker or a proxy. Trackers on grpc-js or grpcio answer so to a message that they cannot decode, " +
      "too: the two cannot be distinguished, and the job comes first",
  },
  UNAVAILABLE: {
    ...again,
    because:
      "no connection, a tracker that stops, or a job whose next attempt may not start yet: then the agent waits as long as the message says",
  },
  DATA_LOSS: {
    ...again,
    because:
      "the tracker lacks records that it had confirmed: its data was rolled back, or another tracker has the address",
  },
  UNAUTHENTICATED: {
    ...atFirst,
    because: "a wrong token does not get better before anything runs; later it may be in rotation",
  },
};

/** @param welcomed whether the session has ever been welcomed */
export function actionOn(code: number, welcomed: boolean): StatusAction {
  // A code that is not known here comes from a newer gRPC; see UNKNOWN.
  const ruling = RULINGS[status[code] as keyof typeof status] ?? RULINGS.UNKNOWN;
  return welcomed ? ruling.later : ruling.first;
}
