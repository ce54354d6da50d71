import { create, toBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { KiB, MiB } from "../../../../src/base/text/sizes.ts";
import {
  AgentInfoSchema,
  type Attempt,
  AttemptSchema,
  EndReason,
  type Job,
  JobResultSchema,
  JobSchema,
  JobState,
  LogCompleteness,
  LogStream,
  Outcome,
} from "../../../../src/gen/belay/v1/job_pb.ts";
import { LiveJob } from "../../../../src/tracker/jobs/live-job.ts";
import { snapshotOf } from "../../../../src/tracker/jobs/shown/snapshot.ts";

/** A job as callers see it. */
function shown(attempts: Attempt[], name = "j"): Job {
  const job = create(JobSchema, { jobId: "j", spec: { name, command: ["true"] }, state: JobState.RUNNING, attempts });
  const stored = { key: 1, job, resumeState: JobState.RUNNING, events: new Map(), commands: [], traceNotes: "" };
  return snapshotOf(new LiveJob(stored));
}

function bytesOf(job: Job): number {
  return toBinary(JobSchema, job).byteLength;
}

const ENDING = { outcome: Outcome.FAILED, reason: EndReason.EXITED, exitCode: 3 };

/** What is always shown of an attempt, and with it more than that. */
function attemptOf(attempt: number): Attempt {
  return create(AttemptSchema, {
    attempt,
    sessionId: `s${attempt}`,
    createTime: { seconds: BigInt(attempt) },
    superseded: true,
    stored: [{ stream: LogStream.STDOUT, bytes: 7n }],
    logCompleteness: LogCompleteness.COMPLETE,
    heartbeat: { nonce: 1n },
    result: { ...ENDING, message: "m".repeat(1000), usage: { cpuSeconds: 1 } },
  });
}

/** An attempt whose agent has said as much about itself as it may. */
function talkative(attempt: number): Attempt {
  return { ...attemptOf(attempt), agent: create(AgentInfoSchema, { hostname: "h".repeat(63 * KiB) }) };
}

const numbers = ({ attempts }: Job): number[] => attempts.map(({ attempt }) => attempt);
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

describe("A job with many attempts", () => {
  test("is shown whole while it is smaller than 2.75 MiB", () => {
    const job = shown(upTo(40).map(talkative));
    expect(job.attempts.every(({ agent }) => agent !== undefined)).toBe(true);
    expect(bytesOf(job)).toBeGreaterThan(2.4 * MiB);
  });

  test("has details of the latest only when it is larger, and of all what they were and how they ended", () => {
    const job = shown(upTo(200).map(talkative));
    expect(numbers(job)).toEqual(upTo(200));
    expect(bytesOf(job)).toBeLessThanOrEqual(2.75 * MiB);
    const whole = job.attempts.slice(job.attempts.findIndex(({ agent }) => agent !== undefined));
    expect(whole.every(({ agent, heartbeat }) => agent !== undefined && heartbeat !== undefined)).toBe(true);
    expect(whole.length).toBeGreaterThan(35);
    const { heartbeat: _, ...kept } = attemptOf(1);
    const result = create(JobResultSchema, { ...ENDING, message: `${"m".repeat(170)}…${"m".repeat(85)}` });
    expect(job.attempts[0]).toEqual({ ...kept, result });
  });

  test("lacks the oldest when even that is too much", () => {
    const job = shown(upTo(12_000).map(attemptOf));
    expect(bytesOf(job)).toBeLessThanOrEqual(2.75 * MiB);
    const { length } = job.attempts;
    expect(numbers(job)).toEqual(upTo(12_000).slice(-length));
    expect(length).toBeGreaterThan(5000);
    expect(job.attempts.at(-1)?.heartbeat).toBeDefined();
  });

  test("leaves room for its spec", () => {
    const job = shown(upTo(200).map(talkative), "n".repeat(2 * MiB));
    expect(numbers(job)).toEqual(upTo(200));
    expect(bytesOf(job)).toBeLessThanOrEqual(2.75 * MiB);
  });
});
