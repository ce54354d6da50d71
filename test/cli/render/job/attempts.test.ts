import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import {
  attemptCount,
  betweenText,
  healthText,
  retryText,
  stallText,
  waitText,
} from "../../../../src/cli/render/job/attempts.ts";
import { jobTable } from "../../../../src/cli/render/job/job-table.ts";
import { showText } from "../../../../src/cli/render/job/show.ts";
import { styleOf } from "../../../../src/cli/render/style.ts";
import { rowOf } from "../../../../src/cli/top/row.ts";
import {
  EndReason,
  FailureClass,
  HealthStatus,
  type Job,
  JobSchema,
  JobState,
  Outcome,
  StallAction,
} from "../../../../src/gen/belay/v1/job_pb.ts";

const NOW = 1_700_000_000_000;
const at = (ms: number): ReturnType<typeof timestampFromMs> => timestampFromMs(NOW + ms);
const plain = styleOf({ color: false });

const preempted = {
  outcome: Outcome.CANCELED,
  reason: EndReason.AGENT_STOPPED,
  failureClass: FailureClass.PREEMPTED,
  exitCode: 3,
  message: "The agent was asked to stop",
  startTime: at(-14_200),
  endTime: at(-10_000),
};

type Fields = Omit<MessageInitShape<typeof JobSchema>, "$typeName">;

function job(fields: Fields): Job {
  const given = { jobId: "train-17", createTime: at(-60_000), spec: { command: ["train"] }, ...fields };
  return create(JobSchema, given as MessageInitShape<typeof JobSchema>);
}

/** Preempted once, and waiting for its second attempt. */
const waiting = job({
  state: JobState.PENDING,
  spec: { command: ["train"], retry: { maxAttempts: 5, delay: durationFromMs(10_000) } },
  attempts: [{ attempt: 1, agent: { hostname: "w1" }, result: preempted }],
  pendingReason: "Attempt 1 was preempted",
  pendingFrom: at(8_200),
  pendingUntil: at(8_200 + 86_400_000),
});

describe("a job that waits between two attempts", () => {
  it("says for what, from when and for how long", () => {
    expect(waitText(waiting, NOW)).toBe("for an agent that takes attempt 2 of 5; it may start in 8.2s; 1d left");
    expect(waitText(waiting, NOW + 10_000)).toBe("for an agent that takes attempt 2 of 5; 23h 59m left");
    expect(betweenText(waiting)).toBe(
      "Attempt 1 ended (AGENT_STOPPED, exit code 3 after 4.2s, PREEMPTED); waiting for attempt 2 of 5",
    );
  });

  it("shows in belay show what ended the attempt, its class, and the policy", () => {
    const text = showText(waiting, plain, NOW);
    expect(text).toMatch(/^State +PENDING$/m);
    expect(text).toMatch(/^Why +Attempt 1 was preempted$/m);
    expect(text).toMatch(/^Waits +for an agent that takes attempt 2 of 5; it may start in 8\.2s/m);
    expect(text).toMatch(/^Retries +up to 5 attempts, after PREEMPTED or INFRASTRUCTURE, 10\.0s apart and doubling$/m);
    expect(text).toMatch(/^Attempt 1 of 5$/m);
    expect(text).toMatch(/^ {2}Connection +gone$/m);
    expect(text).toMatch(/^ {2}Class +PREEMPTED$/m);
  });

  it("has its attempts in belay jobs, and is not away", () => {
    const [header, row] = jobTable([waiting], { isTerminal: false, color: false }, NOW).trim().split("\n");
    expect(header?.split(/ +/)).toEqual(["JOB", "STATE", "CREATED", "TOOK", "CODE", "AGENT", "ATTEMPT", "NAME"]);
    expect(row?.split(/ +/).slice(5)).toEqual(["w1", "1/5", "train"]);
  });

  it("has no current use in belay top, and says there what it waits for", () => {
    const running = rowOf(
      job({ state: JobState.RUNNING, attempts: [{ attempt: 1, metrics: { memoryBytes: 5n } }] }),
      undefined,
    );
    expect(running).toMatchObject({ memoryBytes: 5, attempts: "", remark: "" });
    expect(rowOf(waiting, running)).toMatchObject({
      memoryBytes: undefined,
      attempts: "1/5",
      remark: betweenText(waiting),
    });
  });
});

describe("a job that waits for its first agent", () => {
  it.each<[string, Fields, string]>([
    ["for ever", {}, "for an agent"],
    ["until its time-out", { pendingUntil: at(60_000) }, "for an agent; 1m left"],
    ["with a policy", { spec: { retry: { maxAttempts: 2 } } }, "for an agent that takes attempt 1 of 2"],
  ])("%s", (_, fields, expected) => {
    const pending = job({ state: JobState.PENDING, ...fields });
    expect(waitText(pending, NOW)).toBe(expected);
    expect(betweenText(pending)).toBe("");
  });
});

it("a LOST job waits for its agent, until its attempt is given up", () => {
  expect(waitText(job({ state: JobState.LOST, lostUntil: at(3_000_000) }), NOW)).toBe("for its agent; 50m left");
  expect(waitText(job({ state: JobState.LOST }), NOW)).toBe("");
});

describe("health", () => {
  const stalled = { status: HealthStatus.STALLED, since: at(-200_000), message: "No output for 5m" };

  it("is shown where something is wrong", () => {
    const stalledJob = job({ state: JobState.RUNNING, attempts: [{ attempt: 1, health: stalled }] });
    expect(healthText(stalledJob.attempts[0], plain, NOW)).toBe("STALLED for 3m 20s: No output for 5m");
    expect(showText(stalledJob, plain, NOW)).toMatch(/^Health +STALLED for 3m 20s: No output for 5m$/m);
    expect(rowOf(stalledJob, undefined)).toMatchObject({ unwell: true, remark: "STALLED: No output for 5m" });
  });

  it("is not shown where nothing is wrong or known, with colours neither", () => {
    const colored = styleOf({ color: true });
    for (const health of [undefined, { status: HealthStatus.OK }]) {
      const healthyJob = job({ state: JobState.RUNNING, attempts: [{ attempt: 1, ...(health && { health }) }] });
      expect(showText(healthyJob, colored, NOW)).not.toContain("Health");
      expect(rowOf(healthyJob, undefined)).toMatchObject({ unwell: false, remark: "" });
    }
  });
});

it("counts attempts with a policy and without one", () => {
  expect(attemptCount(waiting)).toBe("1/5");
  expect(attemptCount(job({ attempts: [{ attempt: 2 }] }))).toBe("2");
  expect(attemptCount(job({}))).toBe("0");
});

it("says what a spec asks for", () => {
  expect(retryText(job({}).spec ?? never())).toBe("");
  const { spec } = job({ spec: { stall: { after: durationFromMs(300_000), action: StallAction.END } } });
  expect(stallText(spec ?? never())).toBe("after 5m without a sign of life, which ends the job");
});

function never(): never {
  throw new Error("there is a spec");
}
