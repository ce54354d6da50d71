import { describe, expect, test } from "vitest";
import { Cause } from "../../../src/agent/job/cause.ts";
import type { TreeEnd } from "../../../src/agent/job/end/ladder.ts";
import type { Verdict } from "../../../src/agent/job/end/verdict.ts";
import { EndReason, Outcome } from "../../../src/gen/belay/v1/job_pb.ts";

const CANCEL = { reason: EndReason.CANCELED, message: "Canceled" };
const STOP = { reason: EndReason.AGENT_STOPPED, message: "Stopped" };
const SUCCESS: Verdict = { outcome: Outcome.SUCCEEDED, reason: EndReason.EXITED, message: "", step: 1 };
const END: TreeEnd = { rounds: [], emptyTime: 1, survivors: [] };
const endTree = (): Promise<TreeEnd> => Promise.resolve(END);

describe("The first cause of an end", () => {
  test("is kept when an order comes first, and no second order begins to end anything", async () => {
    const cause = new Cause();
    expect(cause.order(CANCEL, endTree)).toBe(true);
    expect(cause.order(STOP, () => expect.unreachable())).toBe(false);
    expect(cause.natural(SUCCESS)).toBe(false);
    expect(cause.first).toMatchObject({ kind: "ordered", order: CANCEL });
    expect(cause.ordered?.order).toBe(CANCEL);
    expect(await cause.ordered?.tree).toBe(END);
  });

  test("is kept when the job ends by itself first", () => {
    const cause = new Cause();
    expect(cause.natural(SUCCESS)).toBe(true);
    expect(cause.natural({ ...SUCCESS, step: 2 })).toBe(false);
    expect(cause.order(CANCEL, () => expect.unreachable())).toBe(false);
    expect(cause.first).toEqual({ kind: "natural", verdict: SUCCESS });
    expect(cause.ordered).toBeUndefined();
    expect(cause.orderSignal.aborted).toBe(false);
  });

  test("reaches those that wait for an order, whether they began before or after it", async () => {
    const cause = new Cause();
    const before = cause.whenOrdered;
    cause.order(CANCEL, endTree);
    expect((await before).order).toBe(CANCEL);
    expect((await cause.whenOrdered).order).toBe(CANCEL);
    expect(cause.orderSignal.aborted).toBe(true);
  });
});
