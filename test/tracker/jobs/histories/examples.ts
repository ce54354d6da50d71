import { FailureClass } from "../../../../src/gen/belay/v1/job_pb.ts";
import type { Action, HelloFields, Setting } from "./actions.ts";

const { JOB, PREEMPTED, INFRASTRUCTURE } = FailureClass;

const setting: Setting = {
  submitted: false,
  policy: { maxAttempts: 3, on: [JOB, PREEMPTED, INFRASTRUCTURE], delay: 0, wait: 60_000 },
};
const delayed: Setting = { submitted: false, policy: { maxAttempts: 3, on: [JOB], delay: 20_000, wait: 0 } };
const plain: HelloFields = { takeOver: false, spec: "same", nextAttemptFollows: false, deliversOnly: false };
const hello = (agent: number): Action => ({ do: "hello", agent, ...plain });
const delivers = (agent: number): Action => ({ do: "hello", agent, ...plain, deliversOnly: true });
const takeOver = (agent: number): Action => ({ do: "hello", agent, ...plain, takeOver: true });
const ends = (agent: number, result: string): Action => ({ do: "result", agent, result, missing: 0 });
const cut = (agent: number): Action => ({ do: "cut", agent });
const pass = (ms: number): Action => ({ do: "pass", ms });

const follows = (agent: number): Action => ({ do: "hello", agent, ...plain, nextAttemptFollows: true });
const steps: readonly Action[][] = [
  [ends(0, "failed"), hello(1), ends(1, "preempted"), { do: "restart", ms: 0 }, hello(2), ends(2, "succeeded")],
  [ends(0, "failed"), pass(61_000), hello(1)],
  [ends(0, "failed"), { do: "cancel" }, hello(1)],
  [cut(0), pass(31_000), pass(301_000), hello(0), hello(1)],
  [cut(0), pass(31_000), pass(301_000), delivers(0), ends(0, "succeeded"), { do: "print", agent: 0 }, hello(1)],
  [cut(0), pass(31_000), pass(301_000), delivers(0), hello(1), takeOver(1), delivers(0)],
  [cut(0), pass(31_000), hello(1), hello(0), ends(1, "succeeded")],
  [follows(0), ends(0, "succeeded"), hello(1)],
  [{ do: "cancel" }, ends(0, "preempted"), hello(1)],
  [{ do: "print", agent: 0 }, ends(0, "failed"), { do: "state", agent: 0 }, cut(0)],
  [ends(0, "failed"), { do: "hello", agent: 1, ...plain, spec: "silent" }],
  [takeOver(1), hello(0), ends(1, "failed"), hello(2)],
];

/** Histories of what random ones reach rarely. Agent 0 has the job at first. */
export const examples: [Setting, Action[]][] = [
  ...steps.map((each): [Setting, Action[]] => [setting, each]),
  [delayed, [ends(0, "failed"), takeOver(1), pass(21_000), hello(1)]],
  [{ submitted: false, policy: undefined }, [ends(0, "agent lost"), hello(1)]],
];
