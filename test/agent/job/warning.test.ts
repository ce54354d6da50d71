import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Duration, durationFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import type { JobOptions } from "../../../src/agent/job/types.ts";
import { sleep } from "../../../src/base/clock.ts";
import { EndReason, type JobResult, type JobSpecSchema, JobState, Outcome } from "../../../src/gen/belay/v1/job_pb.ts";
import { eventually } from "./facts.ts";
import { type LocalJob, LOCAL_MODES, start } from "./local.ts";

const CANCEL = { reason: EndReason.CANCELED, message: "Canceled by the test" };
const STOP = { reason: EndReason.AGENT_STOPPED, message: "Stopped by the test" };
/** How much later than planned a signal may be sent, or be seen, on a busy machine. Milliseconds. */
const LATE = 2000;
/** The same for the least late of a few. */
const LEAST_LATE = 100;
/** How much closer to each other two signals may be noted than they were planned. */
const CLOSER = 20;

interface WarnedJob extends LocalJob {
  /** When something was first printed, milliseconds after the command's start. */
  readonly at: (text: string) => Promise<number>;
}

/** A shell that says what it gets, and ends only by what its traps say. */
function shell(
  traps: string,
  spec: MessageInitShape<typeof JobSpecSchema>,
  options: Partial<Omit<JobOptions, "spec">>,
): WarnedJob {
  const times = new Map<string, number>();
  const notices: string[] = [];
  let begin = 0;
  const command = ["sh", "-c", `${traps}; echo ready; while :; do sleep 0.02; done`];
  const job = start({ command, warnSignal: "SIGUSR1", ...spec }, options, {
    stepStarted: () => (begin = performance.now()),
    output: (_stream, _step, data) => {
      for (const line of Buffer.from(data).toString().split("\n")) {
        if (!times.has(line)) times.set(line, performance.now() - begin);
      }
      return true;
    },
    notice: (_step, message) => {
      notices.push(message);
      times.set(message.split(" ")[0] ?? "", performance.now() - begin);
    },
  });
  return { ...job, notices, at: (text) => eventually(text, () => times.get(text)) };
}

/** The signals of an end, with the milliseconds since the first. */
function rounds({ evidence }: JobResult): [string, number][] {
  const all = evidence?.signals.map(({ signal, sendTime }) => [signal, sendTime ? timestampMs(sendTime) : 0] as const);
  return (all ?? []).map(([signal, time]) => [signal, time - (all?.[0]?.[1] ?? 0)]);
}

const names = (result: JobResult): string[] => rounds(result).map(([signal]) => signal);
const ms = (value: number): Duration => durationFromMs(value);

function expectAbout(found: number | undefined, wanted: number): void {
  expect(found).toBeGreaterThanOrEqual(wanted - CLOSER);
  expect(found).toBeLessThan(wanted + LATE);
}

const SAVES = "trap 'echo saved; exit 4' USR1";
const STAYS = "trap 'echo warned' USR1; trap 'echo stopped; exit 5' TERM";
const STUBBORN = "trap 'echo warned' USR1; trap '' TERM";

describe.for(LOCAL_MODES)("A job held by a %s that asked for a warning", (containment) => {
  it("gets it warn_period before its timeout, and its own result stands if it ends in time", async () => {
    const late: number[] = [];
    for (let round = 0; round < 4; round++) {
      const times = { timeout: ms(3200), warnPeriod: ms(3000) };
      const { result, at, notices, events } = shell("trap 'echo saved; exit 0' USR1", times, { containment });
      await at("saved");
      late.push((await at("Warned")) - 200);
      const ended = await result;
      expect(ended).toMatchObject({ outcome: Outcome.SUCCEEDED, reason: EndReason.EXITED, exitCode: 0 });
      expect(ended.evidence).toBeUndefined();
      expect(notices).toEqual(["Warned with SIGUSR1: the time limit is reached in 3.0s"]);
      expect(events).not.toContain("CANCELING");
    }
    expect(Math.min(...late)).toBeGreaterThan(-5);
    expect(Math.min(...late)).toBeLessThan(LEAST_LATE);
  });

  it.concurrent("is ended at its timeout if it goes on, and the evidence has both signals", async () => {
    const { result, at } = shell(STAYS, { timeout: ms(700), warnPeriod: ms(400) }, { containment });
    expectAbout(await at("stopped"), 700);
    const ended = await result;
    expect(ended).toMatchObject({ outcome: Outcome.FAILED, reason: EndReason.TIMED_OUT, exitCode: 5 });
    expect(names(ended)).toEqual(["SIGUSR1", "SIGTERM"]);
  });

  it.concurrent("dies of it without a handler, and the message says who sent the signal", async () => {
    const spec = { command: ["sleep", "1000"], timeout: ms(600), warnPeriod: ms(500), warnSignal: "SIGUSR1" };
    const message =
      "Main command was ended by SIGUSR1, which the agent had sent as the warning, and which it does not handle";
    expect(await start(spec, { containment }).result).toMatchObject({
      outcome: Outcome.FAILED,
      reason: EndReason.SIGNALED,
      signal: "SIGUSR1",
      message,
    });
  });

  it.concurrent("gets it at once when it is canceled, and the cancel stays the cause of an end in time", async () => {
    const { result, job, at, notices } = shell(SAVES, {}, { containment });
    await at("ready");
    const asked = performance.now();
    job.end(CANCEL);
    const ended = await result;
    expect(performance.now() - asked).toBeLessThan(5000);
    expect(ended).toMatchObject({ outcome: Outcome.CANCELED, reason: EndReason.CANCELED, exitCode: 4 });
    expect(names(ended)).toEqual(["SIGUSR1"]);
    expect(notices).toEqual(["Warned with SIGUSR1: SIGTERM follows in 30.0s"]);
  });

  it.concurrent("climbs the whole ladder when its agent is stopped: warning, stop signal, SIGKILL", async () => {
    const spec = { warnPeriod: ms(300), gracePeriod: ms(2000) };
    const { result, job, at } = shell(STUBBORN, spec, { containment });
    await at("ready");
    job.end(STOP);
    const ended = await result;
    expect(ended).toMatchObject({ reason: EndReason.AGENT_STOPPED, signal: "SIGKILL" });
    const [warning, stop, kill] = rounds(ended);
    expect([warning?.[0], stop?.[0], kill?.[0]]).toEqual(["SIGUSR1", "SIGTERM", "SIGKILL"]);
    expectAbout(stop?.[1], 300);
    expectAbout(kill?.[1], 2300);
  });

  it.concurrent("has less time under an order with a shorter grace period, which bounds all of it", async () => {
    const { result, job, at, notices } = shell(STUBBORN, { gracePeriod: ms(2000) }, { containment });
    await at("ready");
    job.end({ ...CANCEL, grace: 2200 });
    const [, stop, kill] = rounds(await result);
    expect(stop?.[0]).toBe("SIGTERM");
    expectAbout(stop?.[1], 200);
    expectAbout(kill?.[1], 2200);
    expect(notices).toEqual(["Warned with SIGUSR1: SIGTERM follows in 200ms"]);
  });

  it.concurrent("is not warned where the stop signal would follow at once", async () => {
    const { result, job, at, notices } = shell(STAYS, { gracePeriod: ms(9000) }, { containment });
    await at("ready");
    job.end({ ...CANCEL, grace: 9000 });
    expect(names(await result)).toEqual(["SIGTERM"]);
    expect(notices).toEqual([]);
  });

  it.concurrent("is killed at once by a second order that grants no time", async () => {
    const { result, job, at } = shell(STAYS, {}, { containment });
    await at("ready");
    job.end(STOP);
    await at("warned");
    job.end({ ...STOP, grace: 0 });
    // A process that the shell starts at that moment needs another round.
    expect(new Set(names(await result))).toEqual(new Set(["SIGUSR1", "SIGKILL"]));
  });

  it.concurrent("is not warned again by a second order, which may only bring the stop signal forward", async () => {
    const { result, job, at, notices } = shell(STAYS, { gracePeriod: ms(9000) }, { containment });
    await at("ready");
    job.end(STOP);
    job.end(CANCEL);
    job.end({ ...CANCEL, grace: 9200 });
    const ended = await result;
    expect(ended).toMatchObject({ reason: EndReason.AGENT_STOPPED, exitCode: 5 });
    expect(names(ended)).toEqual(["SIGUSR1", "SIGTERM"]);
    expectAbout(rounds(ended)[1]?.[1], 200);
    expect(notices).toHaveLength(1);
  });

  it.concurrent("has the rest of the period when it is canceled after the warning of its timeout", async () => {
    const { result, job, at, notices } = shell(STAYS, { timeout: ms(3000), warnPeriod: ms(2800) }, { containment });
    await at("warned");
    await sleep(100);
    job.end(CANCEL);
    const ended = await result;
    expect(ended).toMatchObject({ reason: EndReason.CANCELED, exitCode: 5 });
    expect(names(ended)).toEqual(["SIGUSR1", "SIGTERM"]);
    expectAbout(await at("stopped"), 3000);
    expect(notices).toHaveLength(1);
  });

  it.concurrent("gets the stop signal at its timeout although it was canceled and warned shortly before", async () => {
    const { result, job, at } = shell(STAYS, { timeout: ms(3000), warnPeriod: ms(2990) }, { containment });
    await at("ready");
    job.end(CANCEL);
    expectAbout(await at("stopped"), 3000);
    expect(await result).toMatchObject({ reason: EndReason.CANCELED, exitCode: 5 });
  });

  it.concurrent("is thawed to be warned when it is canceled while it is paused", async () => {
    const { result, job, at } = shell(SAVES, {}, { containment });
    await at("ready");
    await job.pause();
    job.end(CANCEL);
    const ended = await result;
    expect(ended).toMatchObject({ reason: EndReason.CANCELED, exitCode: 4 });
    expect(names(ended)).toEqual(["SIGUSR1"]);
  });

  it.concurrent("is warned as much later as it was paused", async () => {
    const { job, at, result } = shell(SAVES, { timeout: ms(4500), warnPeriod: ms(3000) }, { containment });
    await at("ready");
    await job.pause();
    const begin = performance.now();
    await sleep(500);
    const paused = performance.now() - begin;
    await job.resume();
    expectAbout(await at("saved"), 1500 + paused);
    expect(await result).toMatchObject({ reason: EndReason.EXITED, exitCode: 4 });
  });

  it.concurrent("does not wait for the end of the period once its command has ended", async () => {
    const orphan = "trap '' USR1; sleep 1000 & trap 'echo saved; exit 4' USR1";
    const { result, job, at } = shell(orphan, {}, { containment });
    await at("ready");
    const asked = performance.now();
    job.end(CANCEL);
    const ended = await result;
    expect(performance.now() - asked).toBeLessThan(5000);
    expect(ended).toMatchObject({ exitCode: 4 });
    expect(names(ended)).toEqual(["SIGUSR1", "SIGTERM"]);
  });

  it.concurrent("is not warned in its setup steps", async () => {
    const setup = [{ run: "echo ready; sleep 1000" }];
    const { result, job, at, notices } = shell("", { setup }, { containment });
    await at("ready");
    expect(job.state).toBe(JobState.SETTING_UP);
    job.end(CANCEL);
    const ended = await result;
    expect(ended).toMatchObject({ reason: EndReason.CANCELED, step: 1 });
    expect(names(ended)).toEqual(["SIGTERM"]);
    expect(notices).toEqual([]);
  });

  it.concurrent("may ask for a real-time signal", async () => {
    const { result, job, at } = shell("trap 'echo saved; exit 4' 37", { warnSignal: "SIGRTMIN+3" }, { containment });
    await at("ready");
    job.end(CANCEL);
    const ended = await result;
    expect(ended).toMatchObject({ exitCode: 4 });
    expect(names(ended)).toEqual(["SIGRTMIN+3"]);
  });
});
