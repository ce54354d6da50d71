import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { BelayError } from "../../src/base/errors.ts";
import { CommandKind, CommandState, EndReason, JobState, Outcome } from "../../src/gen/belay/v1/job_pb.ts";
import { ScriptedAgent, readLog, waitForJob, waitForState } from "../../src/testing/index.ts";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { isAlive } from "../helpers/processes.ts";
import { testDirectory, testTracker } from "../helpers/tracker.ts";
import { counting, someAgent, until } from "./an-agent.ts";
import { someSession } from "./a-session.ts";
import { record } from "./record.ts";
import { TcpProxy } from "./tcp-proxy.ts";

const quick = { heartbeatInterval: 200, lease: 800 };

describe("Two agents for one job", () => {
  test("that start at the same instant, a hundred times: one gets the job, the other the name of its session", async () => {
    const { address, jobs } = await testTracker();
    for (let round = 0; round < 100; round++) {
      const jobId = `race-${round}`;
      const pair = [1, 2].map(() => someSession(address, { jobId, connectTimeout: 0 }));
      const ended = pair.map(({ session }) => session.run());
      const firstEvents = await Promise.all(pair.map(({ events }) => events.next()));
      const refusals = firstEvents.filter((line) => line !== "connected");
      expect(refusals, jobId).toEqual([
        expect.stringMatching(/^lost: Job ".+" runs under session .+, attempt 1; its lease ends in /),
      ]);
      const { job } = await jobs.getJob({ jobId });
      expect(job?.attempts).toHaveLength(1);
      for (const { session } of pair) session.close("The round is over");
      await Promise.all(ended);
    }
  });

  test("with real jobs: one runs, the other never starts a process", async () => {
    const { address } = await testTracker();
    const directory = await testDirectory();
    const script = `echo $$ >> ${join(directory, "started")}; echo ran; ${counting(join(directory, "end"))}`;
    const agents = [1, 2].map(() => someAgent(address, script, { connectTimeout: 1000 }));
    const first = await Promise.race(agents.map((agent) => agent.outcome.catch((error: BelayError) => error)));
    expect(first).toMatchObject({ code: "JOB_TAKEN" });
    writeFileSync(join(directory, "end"), "");
    const outcomes = await Promise.allSettled(agents.map((agent) => agent.outcome));
    expect(outcomes.map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected"]);
    expect(agents.filter((agent) => agent.output().includes("ran"))).toHaveLength(1);
  });
});

describe("A job that is lost and taken over", () => {
  test("is killed by its first agent when that agent returns, before the tracker accepts anything more from it", async () => {
    const tracker = await testTracker(quick);
    const { jobs, address } = tracker;
    const proxy = await TcpProxy.start(address);
    const directory = await testDirectory();
    const script = `echo pid $$; ${counting(join(directory, "end"))}`;
    const first = someAgent(proxy.url, script);
    await first.prints("line 20 ");
    const pid = Number(/^pid (\d+)$/m.exec(first.output())?.[1]);
    proxy.goAway();
    await waitForState(jobs, "j1", "LOST");
    const second = someAgent(address, script);
    await second.prints("line 3 ");
    const taken = await readLog(jobs, "j1", { follow: false, attempt: 1 });
    expect(isAlive(pid)).toBe(true);
    const back = performance.now();
    await proxy.comeBack();
    await expect(first.outcome).rejects.toMatchObject({
      code: "SUPERSEDED",
      message: expect.stringContaining('Attempt 1 of job "j1" was superseded by attempt 2') as unknown,
    });
    record({
      fault: "lost, taken over, and back: until its job is killed",
      recovered: performance.now() - back,
      remark: "this job must be killed: the attempt that took over counts",
    });
    expect(isAlive(pid)).toBe(false);
    expect(await readLog(jobs, "j1", { follow: false, attempt: 1 })).toBe(taken);
    expect(first.output().length).toBeGreaterThan(taken.length);
    writeFileSync(join(directory, "end"), "");
    expect((await second.outcome).result.outcome).toBe(Outcome.SUCCEEDED);
    const { job } = await jobs.getJob({ jobId: "j1" });
    expect(job?.attempts.map(({ superseded }) => superseded)).toEqual([true, false]);
    expect(job).toMatchObject({ state: JobState.SUCCEEDED });
  });

  test("while its first agent is silent but connected: Goodbye reaches that agent on its open stream", async () => {
    const { jobs, address } = await testTracker(quick);
    // An agent that keeps its stream but sends nothing.
    const silent = ScriptedAgent.connect({ url: address, jobId: "j1" });
    await silent.hello({ spec: { command: ["true"] } });
    await waitForState(jobs, "j1", "LOST");
    const second = ScriptedAgent.connect({ url: address, jobId: "j1" });
    expect((await second.hello({ spec: { command: ["true"] } })).attempt).toBe(2);
    await silent.ended;
    expect(silent.received.some((answer) => answer.case === "ack")).toBe(false);
  });

  test("accepts nothing from an agent whose session was superseded, whatever attempt it claims", async () => {
    const { jobs, address } = await testTracker(quick);
    const first = ScriptedAgent.connect({ url: address, jobId: "j1" });
    await first.hello({ spec: { command: ["true"] } });
    first.vanish();
    await waitForState(jobs, "j1", "LOST");
    const second = ScriptedAgent.connect({ url: address, jobId: "j1" });
    await second.hello({ spec: { command: ["true"] } });
    const superseded = ScriptedAgent.connect({ url: address, jobId: "j1", sessionId: first.sessionId });
    superseded.sayHello({ attempt: 2 });
    superseded.print("from the grave\n");
    expect(await superseded.ended).toMatchObject({ code: 9 });
    expect(await readLog(jobs, "j1", { follow: false, attempt: 2 })).toBe("");
  });
});

describe("A cancel of a job whose agent is away", () => {
  test("waits for the agent, and ends the job when the agent is back", async () => {
    const { jobs, address } = await testTracker(quick);
    const proxy = await TcpProxy.start(address);
    const agent = someAgent(proxy.url, "echo ready; exec sleep 1000");
    await agent.prints("ready");
    await waitForState(jobs, "j1", "RUNNING");
    proxy.goAway();
    await waitForState(jobs, "j1", "LOST");
    const { agentConnected, command } = await jobs.cancelJob({ jobId: "j1", reason: "while away" });
    expect(agentConnected).toBe(false);
    expect(command?.state).toBe(CommandState.QUEUED);
    await proxy.comeBack();
    const job = await waitForState(jobs, "j1", "CANCELED");
    expect(job.result).toMatchObject({
      reason: EndReason.CANCELED,
      message: expect.stringContaining("while away") as unknown,
    });
    expect((await agent.outcome).delivered).toBe(true);
    const ended = await waitForJob(jobs, "j1", ({ commands }) => commands[0]?.state === CommandState.COMPLETED);
    expect(ended.commands[0]?.kind).toBe(CommandKind.CANCEL);
  });

  test("is given several times: the shortest grace period counts", async () => {
    const { jobs, address } = await testTracker(quick);
    const proxy = await TcpProxy.start(address);
    const agent = someAgent(proxy.url, "trap '' TERM; echo ready; while :; do sleep 0.05; done");
    await agent.prints("ready");
    await waitForState(jobs, "j1", "RUNNING");
    proxy.goAway();
    await waitForJob(jobs, "j1", ({ attempts }) => attempts[0]?.connected === false);
    await jobs.cancelJob({ jobId: "j1", gracePeriod: durationFromMs(600_000) });
    await jobs.cancelJob({ jobId: "j1", gracePeriod: durationFromMs(100) });
    await jobs.cancelJob({ jobId: "j1", gracePeriod: durationFromMs(300_000) });
    await proxy.comeBack();
    const { result } = await agent.outcome;
    expect(result).toMatchObject({ reason: EndReason.CANCELED, signal: "SIGKILL" });
    await waitForJob(jobs, "j1", ({ commands }) => commands.every(({ state }) => state === CommandState.COMPLETED));
  });

  test("stands if the agent never comes back: another agent that asks for the job runs nothing", async () => {
    const { jobs, address } = await testTracker(quick);
    const first = ScriptedAgent.connect({ url: address, jobId: "j1" });
    await first.hello({ spec: { command: ["true"] } });
    first.vanish();
    await waitForState(jobs, "j1", "LOST");
    await jobs.cancelJob({ jobId: "j1", reason: "no longer wanted" });
    const directory = await testDirectory();
    const agent = someAgent(address, `echo ran > ${join(directory, "ran")}; echo ran; sleep 1000`);
    await agent.outcome.catch(() => undefined);
    expect(agent.output()).toBe("");
    const { job } = await jobs.getJob({ jobId: "j1" });
    expect(job).toMatchObject({ state: JobState.CANCELED });
  });
});

describe("An agent whose tracker stays away", () => {
  test("ends its job after the time that cancel-after gives, and only then", async () => {
    const { address } = await testTracker(quick);
    const proxy = await TcpProxy.start(address);
    const agent = someAgent(proxy.url, "echo ready; exec sleep 1000", {
      onDisconnect: { kind: "cancel-after", ms: 700 },
      flushTimeout: 100,
    });
    await agent.prints("ready");
    await until(agent.progress, /^connected/);
    proxy.cut("rst");
    await until(agent.progress, /^connected again/);
    const faultTime = performance.now();
    proxy.goAway();
    proxy.cut("rst");
    const { result, delivered } = await agent.outcome;
    expect(performance.now() - faultTime).toBeGreaterThanOrEqual(700);
    expect(result).toMatchObject({
      reason: EndReason.DISCONNECTED,
      message: expect.stringMatching(/^The tracker was away for 700ms: .*connect/i),
    });
    expect(delivered).toBe(false);
  });

  test("without cancel-after, lets the job run to its end and keeps its outcome", async () => {
    const { jobs, address } = await testTracker(quick);
    const proxy = await TcpProxy.start(address);
    const directory = await testDirectory();
    const agent = someAgent(proxy.url, counting(join(directory, "end")));
    await agent.prints("line 2 ");
    proxy.goAway();
    proxy.cut("rst");
    await waitForState(jobs, "j1", "LOST");
    writeFileSync(join(directory, "end"), "");
    await agent.prints("counted");
    await proxy.comeBack();
    expect(await agent.outcome).toMatchObject({ delivered: true, result: { outcome: Outcome.SUCCEEDED } });
    expect((await jobs.getJob({ jobId: "j1" })).job?.state).toBe(JobState.SUCCEEDED);
  });
});
