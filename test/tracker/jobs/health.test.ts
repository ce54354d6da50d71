import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import type { Health, Job } from "../../../src/gen/belay/v1/job_pb.ts";
import { HealthStatus } from "../../../src/gen/belay/v1/job_pb.ts";
import type { WatchJobsResponse } from "../../../src/gen/belay/v1/job_service_pb.ts";
import { ScriptedAgent, waitForJob, waitForState } from "../../../src/testing/index.ts";
import { someSpec, testTracker } from "../../helpers/tracker.ts";

const { OK, STALLED, STARVED, DISCONNECTED } = HealthStatus;
const host = { hostname: "worker-7" };

/** The health of the latest attempt. */
function healthOf(job: Job | undefined): Health | undefined {
  return job?.attempts.at(-1)?.health;
}

function report(agent: ScriptedAgent, status: HealthStatus, message = ""): bigint {
  return agent.event({ case: "health", value: { status, since: timestampFromMs(1_000), message } });
}

/** Waits until WatchJobs shows a job whose latest attempt has this health. */
async function watched(changes: AsyncIterable<WatchJobsResponse>, status: HealthStatus): Promise<void> {
  for await (const { change } of changes) {
    if (change.case === "job" && healthOf(change.value)?.status === status) return;
  }
}

describe("The health of an attempt", () => {
  test("is what its agent reported last, as a change of the job, without secrets, and no longer than is stored", async () => {
    const { address, jobs } = await testTracker();
    const spec = { ...someSpec, environment: { API_KEY: "hunter2-hunter2" } };
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec });
    expect(healthOf((await jobs.getJob({ jobId: "j" })).job)).toBeUndefined();
    const all = watched(jobs.watchJobs({}), STALLED);
    report(agent, STALLED, `No output of hunter2-hunter2 ${"for long ".repeat(1_000)}`);
    const job = await waitForJob(jobs, "j", (job) => healthOf(job)?.status === STALLED);
    await all;
    expect(healthOf(job)?.since).toEqual(timestampFromMs(1_000));
    expect(healthOf(job)?.message).toMatch(/^No output of \*\*\* for long/);
    expect(healthOf(job)?.message.length).toBeLessThanOrEqual(1024);
    report(agent, OK);
    expect((await waitForJob(jobs, "j", (later) => later.version > job.version)).attempts[0]?.health).toMatchObject({
      status: OK,
      message: "",
    });
    agent.vanish();
  });

  test("is not changed by a status that no agent has, and is absent once the attempt has ended", async () => {
    const { address, jobs } = await testTracker();
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    report(agent, STARVED, "waits for storage");
    report(agent, DISCONNECTED);
    report(agent, HealthStatus.UNSPECIFIED);
    report(agent, 77 as HealthStatus);
    await agent.acked(4n, 0n);
    expect(healthOf((await jobs.getJob({ jobId: "j" })).job)?.status).toBe(STARVED);
    agent.result();
    await agent.next("receipt");
    report(agent, STALLED);
    await agent.acked(6n, 0n);
    agent.vanish();
    const ended = await waitForJob(jobs, "j", ({ attempts }) => attempts[0]?.connected === false);
    expect(healthOf(ended)).toBeUndefined();
  });
});

describe("An attempt whose agent has no stream", () => {
  test("is DISCONNECTED since the stream ended, whatever was reported before, until the agent is back", async () => {
    const { address, jobs } = await testTracker();
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec, agent: host });
    report(agent, STALLED, "hangs");
    await agent.acked(1n, 0n);
    const all = watched(jobs.watchJobs({}), DISCONNECTED);
    const before = Date.now();
    agent.vanish();
    const away = healthOf(await waitForJob(jobs, "j", (job) => healthOf(job)?.status === DISCONNECTED));
    await all;
    expect(away?.message).toBe("The agent on worker-7 is not connected to the tracker");
    const since = away?.since === undefined ? 0 : timestampMs(away.since);
    expect(since).toBeGreaterThanOrEqual(before);
    expect(since).toBeLessThanOrEqual(Date.now());
    const back = ScriptedAgent.connect({ url: address, jobId: "j", sessionId: agent.sessionId });
    await back.hello({ attempt: 1, agent: host });
    await waitForJob(jobs, "j", (job) => healthOf(job)?.message === "hangs");
    back.vanish();
  });

  test("is known to be back although it calls as if for the first time, since its Welcome was lost", async () => {
    const { address, jobs } = await testTracker();
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    agent.vanish();
    await waitForJob(jobs, "j", (job) => healthOf(job)?.status === DISCONNECTED);
    const isBack = waitForJob(jobs, "j", ({ attempts }) => attempts[0]?.connected === true);
    const back = ScriptedAgent.connect({ url: address, jobId: "j", sessionId: agent.sessionId });
    await back.hello({ spec: someSpec });
    expect(healthOf(await isBack)).toBeUndefined();
    back.vanish();
  });

  test("is DISCONNECTED since the start of the tracker if that has started later", async () => {
    const before = await testTracker();
    const agent = ScriptedAgent.connect({ url: before.address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    report(agent, STALLED, "hangs");
    await agent.acked(1n, 0n);
    await before.tracker.close();
    const start = Date.now();
    const { jobs } = await testTracker({ dataDirectory: before.dataDirectory });
    const health = healthOf((await jobs.getJob({ jobId: "j" })).job);
    expect(health?.status).toBe(DISCONNECTED);
    expect(health?.since === undefined ? 0 : timestampMs(health.since)).toBeGreaterThanOrEqual(start);
  });

  test("has no health once another attempt has the job, and that one is not DISCONNECTED when it begins", async () => {
    const { address, jobs } = await testTracker({ heartbeatInterval: 150, lease: 400 });
    const first = ScriptedAgent.connect({ url: address, jobId: "j" });
    await first.hello({ spec: someSpec });
    report(first, STALLED, "hangs");
    await first.acked(1n, 0n);
    first.vanish();
    await waitForState(jobs, "j", "LOST");
    const seen: (readonly (HealthStatus | undefined)[])[] = [];
    const watching = waitForJob(jobs, "j", ({ attempts }) => {
      if (attempts.length === 2) seen.push(attempts.map(({ health }) => health?.status));
      return attempts[1]?.health?.status === OK;
    });
    const second = ScriptedAgent.connect({ url: address, jobId: "j" });
    await second.hello();
    report(second, OK);
    await watching;
    expect(seen.at(-1)).toEqual([undefined, OK]);
    expect(seen.flat()).not.toContain(DISCONNECTED);
    expect(seen.flat()).not.toContain(STALLED);
    second.vanish();
  });
});
