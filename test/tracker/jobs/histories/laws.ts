import { equals } from "@bufbuild/protobuf";
import { expect } from "vitest";
import { isEnded, isRunning } from "../../../../src/contract/states.ts";
import { stateName } from "../../../../src/contract/names.ts";
import {
  CommandKind,
  CommandState,
  EndReason,
  FailureClass,
  type Job,
  JobState,
  Outcome,
  RetryPolicySchema,
} from "../../../../src/gen/belay/v1/job_pb.ts";

const { JOB, PREEMPTED, INFRASTRUCTURE, ORDERED } = FailureClass;

/** The laws of a job and its attempts, checked against the job as it is after each change. */
export class JobLaws {
  /** The job after the latest change. */
  latest: Job | undefined;
  /** How each command ended that is done. */
  readonly done: Map<string, CommandState> = new Map();
  private readonly note: (what: string) => void;

  /** @param note counts what has happened */
  constructor(note: (what: string) => void) {
    this.note = note;
  }

  /** The laws of each change. */
  observe(now: Job): void {
    const before = this.latest;
    this.latest = now;
    this.note(stateName(now.state));
    if (now.attempts.length >= 3) this.note("three attempts");
    for (const [i, { attempt, result, superseded, health }] of now.attempts.entries()) {
      expect(attempt, "attempts are numbered from 1").toBe(i + 1);
      if (result !== undefined) expect(health, "an attempt that has ended has no health").toBeUndefined();
      if (i === now.attempts.length - 1) continue;
      expect(superseded && result !== undefined, "an attempt before the latest has a result").toBe(true);
      expect([JOB, PREEMPTED, INFRASTRUCTURE], "and a class").toContain(result?.failureClass);
    }
    expect(new Set(now.attempts.map(({ sessionId }) => sessionId)).size, "a session has one attempt").toBe(
      now.attempts.length,
    );
    this.checkState(now);
    this.checkCommands(now);
    if (before !== undefined) checkChange(before, now);
  }

  private checkState(now: Job): void {
    const last = now.attempts.at(-1);
    const { state } = now;
    expect(now.result === undefined, "a job has a result exactly if it has ended").toBe(!isEnded(state));
    if (last?.result !== undefined) expect(isRunning(state), "an attempt that has ended does not run").toBe(false);
    if (last?.result?.outcome === Outcome.SUCCEEDED) expect(state).toBe(JobState.SUCCEEDED);
    if (last?.result?.failureClass === ORDERED) expect(isEnded(state), "an order is the end").toBe(true);
    if (state !== JobState.PENDING)
      expect([now.pendingReason, now.pendingFrom, now.pendingUntil]).toEqual(["", undefined, undefined]);
    expect(now.lostUntil !== undefined, "a LOST job has a deadline").toBe(state === JobState.LOST);
    if (state === JobState.PENDING && last !== undefined) {
      this.note("PENDING between attempts");
      const { maxAttempts = 1, on = [] } = now.spec?.retry ?? {};
      expect(last.attempt, "PENDING only while attempts are left").toBeLessThan(maxAttempts);
      const classes = on.length === 0 ? [PREEMPTED, INFRASTRUCTURE] : on;
      expect(classes, "PENDING only after what the policy names").toContain(last.result?.failureClass);
      expect(now.pendingReason).not.toBe("");
      if (last.superseded) this.note("LOST for too long, and PENDING");
    }
    if (now.result?.reason === EndReason.NO_AGENT) this.note("no agent in time");
  }

  /** A command that is done stays as it is, so that no agent gets it again. */
  private checkCommands(now: Job): void {
    for (const { commandId, state } of now.commands) {
      const final = this.done.get(commandId);
      if (final !== undefined) expect(state, `command ${commandId} is done`).toBe(final);
      if (state >= CommandState.COMPLETED) this.done.set(commandId, state);
      if (state < CommandState.COMPLETED)
        expect(now.state, "no command waits for an agent between attempts").not.toBe(JobState.PENDING);
    }
  }
}

function checkChange(before: Job, now: Job): void {
  expect(now.attempts.length, "no attempt disappears").toBeGreaterThanOrEqual(before.attempts.length);
  for (const [i, { result, superseded, sessionId }] of before.attempts.entries()) {
    const after = now.attempts[i];
    expect(after?.sessionId).toBe(sessionId);
    if (superseded) expect(after?.superseded, "what is superseded stays so").toBe(true);
    if (result === undefined) continue;
    // What a dead agent left may bring the counts that the tracker's own result lacks.
    const lacksCounts = superseded && result.reason === EndReason.AGENT_LOST && result.streams.length === 0;
    const wanted = lacksCounts ? { ...result, streams: after?.result?.streams } : result;
    expect(after?.result, "a result never changes").toEqual(wanted);
  }
  if (before.state !== JobState.PENDING && now.state === JobState.PENDING) {
    const cancels = before.commands.filter(
      ({ kind, state }) => kind === CommandKind.CANCEL && state < CommandState.COMPLETED,
    );
    expect(cancels, "a job that is being canceled does not wait for another attempt").toEqual([]);
  }
  const [policy, policyNow] = [before.spec?.retry, now.spec?.retry];
  if (policy !== undefined) {
    const isSame = policyNow !== undefined && equals(RetryPolicySchema, policy, policyNow);
    expect(isSame, "a policy never changes").toBe(true);
  }
  if (!isEnded(before.state)) return;
  const end = ({ state, result, startTime, endTime, attempts }: Job) => [
    state,
    result,
    startTime,
    endTime,
    attempts.length,
  ];
  expect(end(now), "an ended job never changes").toEqual(end(before));
}

/** What of a job is stored with each change. */
export function lasting({ state, result, pendingReason, pendingFrom, pendingUntil, lostUntil, attempts }: Job): object {
  const kept = attempts.map(({ attempt, sessionId, superseded, result: own, logCompleteness }) => [
    attempt,
    sessionId,
    superseded,
    own,
    logCompleteness,
  ]);
  return { state, result, pendingReason, pendingFrom, pendingUntil, lostUntil, kept };
}
