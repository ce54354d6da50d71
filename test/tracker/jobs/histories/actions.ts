import type { MessageInitShape } from "@bufbuild/protobuf";
import fc from "fast-check";
import { EndReason, FailureClass, type JobResultSchema, Outcome } from "../../../../src/gen/belay/v1/job_pb.ts";

const { JOB, PREEMPTED, INFRASTRUCTURE, ORDERED } = FailureClass;

type Result = Omit<MessageInitShape<typeof JobResultSchema>, "$typeName">;

/** Results that an agent may report, by name. */
export const RESULTS: ReadonlyMap<string, Result> = new Map([
  ["succeeded", { outcome: Outcome.SUCCEEDED, reason: EndReason.EXITED }],
  ["failed", { outcome: Outcome.FAILED, reason: EndReason.EXITED, exitCode: 1 }],
  ["preempted", { outcome: Outcome.CANCELED, reason: EndReason.AGENT_STOPPED }],
  ["stopped", { outcome: Outcome.CANCELED, reason: EndReason.AGENT_STOPPED, failureClass: ORDERED }],
  ["canceled", { outcome: Outcome.CANCELED, reason: EndReason.CANCELED }],
  ["agent lost", { outcome: Outcome.FAILED, reason: EndReason.AGENT_LOST }],
]);

/** What a session says in its Hello. */
export interface HelloFields {
  readonly takeOver: boolean;
  /** Which spec it brings: none, or one with the job's retry policy, without one, or with another. */
  readonly spec: "none" | "same" | "silent" | "other";
  readonly nextAttemptFollows: boolean;
  readonly deliversOnly: boolean;
}

/** A step that an agent takes on its open stream. `agent` is one of three. */
export type AgentAction =
  | { readonly do: "result"; readonly agent: number; readonly result: string; readonly missing: number }
  | { readonly do: "state" | "health" | "print" | "beat" | "carry out"; readonly agent: number }
  | { readonly do: "cut" | "half-close"; readonly agent: number };

/** One step of a history. */
export type Action =
  | AgentAction
  | ({ readonly do: "hello" | "fresh"; readonly agent: number } & HelloFields)
  | ({ readonly do: "race" } & HelloFields)
  | { readonly do: "cancel" | "pause" }
  | { readonly do: "pass" | "pass with heartbeats" | "stall"; readonly ms: number }
  | { readonly do: "restart"; readonly ms: number };

/** How the job of a history begins. */
export interface Setting {
  /** Whether a caller submits it; else an agent brings it. */
  readonly submitted: boolean;
  readonly policy:
    | {
        readonly maxAttempts: number;
        readonly on: FailureClass[];
        /** Milliseconds. */
        readonly delay: number;
        /** Milliseconds. 0: for ever. */
        readonly wait: number;
      }
    | undefined;
}

const oneOf = fc.constantFrom;
const agent = fc.nat({ max: 2 });
const hello = {
  takeOver: oneOf(false, false, true),
  spec: oneOf<HelloFields["spec"][]>("none", "same", "silent", "other"),
  nextAttemptFollows: oneOf(false, false, true),
  deliversOnly: oneOf(false, false, true),
};
const result = oneOf(...RESULTS.keys());
const times = oneOf(1, 5_000, 21_000, 31_000, 61_000, 301_000, 700_000);

const weighted = (weight: number, arbitrary: fc.Arbitrary<Action>): fc.WeightedArbitrary<Action> => ({
  weight,
  arbitrary,
});

/** See Action. */
export const actions: fc.Arbitrary<Action> = fc.oneof(
  weighted(6, fc.record({ do: oneOf("hello", "fresh"), agent, ...hello })),
  weighted(1, fc.record({ do: oneOf("race"), ...hello })),
  // Some results count bytes that the agent has not sent.
  weighted(5, fc.record({ do: oneOf("result"), agent, result, missing: oneOf(0, 0, 5) })),
  weighted(4, fc.record({ do: oneOf("state", "health", "print", "beat", "carry out"), agent })),
  weighted(3, fc.record({ do: oneOf("cut", "half-close"), agent })),
  weighted(3, fc.record({ do: oneOf("cancel", "pause") })),
  weighted(4, fc.record({ do: oneOf("pass", "pass with heartbeats", "stall"), ms: times })),
  weighted(1, fc.record({ do: oneOf("restart"), ms: oneOf(0, 20_000, 400_000) })),
);

/** See Setting. */
export const settings: fc.Arbitrary<Setting> = fc.record({
  submitted: fc.boolean(),
  policy: fc.option(
    fc.record({
      maxAttempts: fc.integer({ min: 1, max: 4 }),
      on: fc.uniqueArray(oneOf(JOB, PREEMPTED, INFRASTRUCTURE)),
      delay: oneOf(0, 20_000),
      wait: oneOf(0, 60_000, 86_400_000),
    }),
    { nil: undefined, freq: 5 },
  ),
});
