import { access } from "node:fs/promises";
import { describe, expect, it, vi } from "vitest";
import { JobState, LogCompleteness, LogStream } from "../../src/gen/belay/v1/job_pb.ts";
import { runAgent } from "../../src/agent/run.ts";
import {
  readLog,
  readLogBytes,
  ScriptedAgent,
  startTestTracker,
  waitForJob,
  waitForState,
} from "../../src/testing/index.ts";

const spec = { command: ["train"] };

describe("a tracker for tests", () => {
  it("takes a job, and leaves no data behind", async () => {
    const tracker = await startTestTracker();
    await tracker.client.createJob({ jobId: "j1", spec: { command: ["sh", "-c", "echo hi; echo err >&2"] } });
    await runAgent({ tracker: tracker.url, jobId: "j1" });
    const job = await waitForState(tracker.client, "j1", ["SUCCEEDED", "FAILED"]);
    expect(job.result?.exitCode).toBe(0);
    expect(await readLog(tracker.client, "j1", { stream: "stdout" })).toBe("hi\n");
    expect(await readLog(tracker.client, "j1", { stream: "stderr" })).toBe("err\n");
    await tracker.close();
    await tracker.close();
    await expect(access(tracker.dataDirectory)).rejects.toThrow("ENOENT");
  });
});

describe("waiting for a state", () => {
  it("says which state the job is in instead, when time is up or it has ended", async () => {
    await using tracker = await startTestTracker();
    await tracker.client.createJob({ jobId: "j1", spec });
    await expect(waitForState(tracker.client, "j1", "RUNNING", { timeout: 100 })).rejects.toThrow(
      `Waited for job "j1" to be RUNNING: it is PENDING after 100 ms`,
    );
    await tracker.client.cancelJob({ jobId: "j1" });
    await expect(waitForState(tracker.client, "j1", ["RUNNING", "FAILED"])).rejects.toThrow(
      `Waited for job "j1" to be RUNNING or FAILED: it has ended CANCELED`,
    );
    await expect(waitForState(tracker.client, "nope", "RUNNING")).rejects.toThrow(/nope/);
  });

  it("or for anything else of a job", async () => {
    await using tracker = await startTestTracker();
    await tracker.client.createJob({ jobId: "j1", spec });
    const joined = waitForJob(tracker.client, "j1", ({ attempts }) => attempts.length > 0);
    await using agent = await ScriptedAgent.join({ url: tracker.url, jobId: "j1" });
    expect((await joined).attempts[0]?.sessionId).toBe(agent.sessionId);
    await expect(waitForJob(tracker.client, "j1", () => false, { timeout: 100 })).rejects.toThrow(
      `Waited for job "j1" to be as wanted: it is SETTING_UP after 100 ms`,
    );
  });
});

describe("a wait that is over", () => {
  it("has ended its watch at the tracker", async () => {
    await using tracker = await startTestTracker();
    await tracker.client.createJob({ jobId: "j1", spec });
    await waitForState(tracker.client, "j1", "PENDING");
    await waitForJob(tracker.client, "j1", () => true);
    await vi.waitFor(async () => {
      const metrics = await (await fetch(`${tracker.url}/metrics`)).text();
      expect(metrics).toMatch(/^belay_calls_total\{.*WatchJob.*\} 2$/m);
    });
  });
});

describe("a scripted agent", () => {
  it("runs a job that exists only in the test", async () => {
    await using tracker = await startTestTracker();
    await using agent = await ScriptedAgent.join({ url: tracker.url, jobId: "j1", spec });
    expect(agent.welcome.attempt).toBe(1);
    agent.state("RUNNING");
    agent.print("epoch 1\n");
    agent.print("oops\n", LogStream.STDERR);
    agent.print(Uint8Array.from([0xff, 0x00]));
    await agent.heartbeat();
    await waitForState(tracker.client, "j1", "RUNNING");
    const receipt = await agent.end({ exitCode: 3 });
    expect(receipt.logCompleteness).toBe(LogCompleteness.COMPLETE);
    const job = await waitForState(tracker.client, "j1", "FAILED");
    expect(job.result?.exitCode).toBe(3);
    const bytes = await readLogBytes(tracker.client, "j1", { stream: "stdout" });
    expect(Buffer.from(bytes).toString("latin1")).toBe("epoch 1\n\xff\0");
  });

  it("takes orders", async () => {
    await using tracker = await startTestTracker();
    await using agent = await ScriptedAgent.join({ url: tracker.url, jobId: "j1", spec });
    agent.state("RUNNING");
    await tracker.client.cancelJob({ jobId: "j1", reason: "enough" });
    const command = await agent.command();
    expect(command.order).toMatchObject({ case: "cancel", value: { reason: "enough" } });
    agent.complete(command);
    await agent.end({ canceled: true });
    const job = await waitForState(tracker.client, "j1", "CANCELED");
    expect(job.state).toBe(JobState.CANCELED);
  });

  it("is lost when it vanishes, and gets the reason when it may not join", async () => {
    await using tracker = await startTestTracker({ heartbeatInterval: 50, lease: 200 });
    const agent = await ScriptedAgent.join({ url: tracker.url, jobId: "j1", spec });
    agent.state("RUNNING");
    await waitForState(tracker.client, "j1", "RUNNING");
    await expect(ScriptedAgent.join({ url: tracker.url, jobId: "j1", spec })).rejects.toThrow(/ALREADY_EXISTS/);
    agent.vanish();
    await waitForState(tracker.client, "j1", "LOST");
    await expect(ScriptedAgent.join({ url: tracker.url, jobId: "none" })).rejects.toThrow(/NOT_FOUND/);
  });

  it("sends single messages, valid and invalid ones, and reports how its stream ended", async () => {
    await using tracker = await startTestTracker({ tokens: { operator: ["o"], agent: ["a"] } });
    const stranger = ScriptedAgent.connect({ url: tracker.url, jobId: "j1", token: "wrong" });
    stranger.sayHello({ spec });
    expect(await stranger.ended).toMatchObject({ code: 16 });
    await using agent = ScriptedAgent.connect({ url: tracker.url, jobId: "j1", token: "a", timeout: 100 });
    expect(() => agent.welcome).toThrow("The agent has not been welcomed");
    expect(await agent.hello({ spec })).toBe(agent.welcome);
    expect([agent.state("RUNNING"), agent.print("one\n"), agent.print("two\n")]).toEqual([1n, 1n, 2n]);
    await agent.acked(1n, 2n);
    agent.beat(7n);
    expect((await agent.next("heartbeatReply", ({ nonce }) => nonce === 7n)).nonce).toBe(7n);
    await expect(agent.next("receipt")).rejects.toThrow("Waited 100 ms for a receipt from the tracker: none came");
    agent.vanish();
    const back = ScriptedAgent.connect({ url: tracker.url, jobId: "j1", token: "a", sessionId: agent.sessionId });
    expect((await back.follow(agent).hello()).committed).toMatchObject({ events: 1n, logs: 2n });
    expect((await back.end()).logCompleteness).toBe(LogCompleteness.COMPLETE);
    const late = ScriptedAgent.connect({ url: tracker.url, jobId: "j2", token: "a" });
    late.sendBytes(Buffer.from([0xff]));
    expect((await late.ended).code).not.toBe(0);
  });
});
