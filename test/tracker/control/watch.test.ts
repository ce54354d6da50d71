import { Code } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { JobState } from "../../../src/gen/belay/v1/job_pb.ts";
import type { WatchJobsResponse } from "../../../src/gen/belay/v1/job_service_pb.ts";
import { ScriptedAgent, waitForJob } from "../../../src/testing/index.ts";
import { someSpec, testTracker } from "../../helpers/tracker.ts";

/** A watch that is read one change at a time. */
class Watch {
  version = 0n;
  private readonly changes: AsyncIterator<WatchJobsResponse>;

  constructor(changes: AsyncIterable<WatchJobsResponse>) {
    this.changes = changes[Symbol.asyncIterator]();
  }

  /** The next change in short: `+id STATE`, `-id` for left, `xid` for deleted, `synced`. */
  async next(): Promise<string> {
    const { value } = await this.changes.next();
    this.version = value.version;
    const { change } = value as WatchJobsResponse;
    if (change.case === "job") return `+${change.value.jobId} ${change.value.state}`;
    if (change.case === "synced") return "synced";
    return `${change.case === "leftJobId" ? "-" : "x"}${change.value}`;
  }

  async take(count: number): Promise<string[]> {
    const taken: string[] = [];
    for (let i = 0; i < count; i++) taken.push(await this.next());
    return taken;
  }
}

const { PENDING, SETTING_UP, RUNNING, CANCELED } = JobState;

describe("WatchJobs", () => {
  test("sends the jobs that exist, marks their end, then sends changes, deletions, and jobs that no longer match", async () => {
    const { jobs, address } = await testTracker();
    await jobs.createJob({ jobId: "a", spec: someSpec });
    await jobs.createJob({ jobId: "b", spec: someSpec });
    const watch = new Watch(jobs.watchJobs({}));
    const running = new Watch(jobs.watchJobs({ filter: { states: [SETTING_UP, RUNNING] } }));
    expect(await watch.take(3)).toEqual([`+b ${PENDING}`, `+a ${PENDING}`, "synced"]);
    expect(await running.next()).toBe("synced");
    const agent = ScriptedAgent.connect({ url: address, jobId: "a" });
    await agent.hello();
    expect(await watch.next()).toBe(`+a ${SETTING_UP}`);
    expect(await running.next()).toBe(`+a ${SETTING_UP}`);
    agent.result({ outcome: 3 });
    expect(await running.next()).toBe("-a");
    await agent.next("receipt");
    await jobs.deleteJob({ jobId: "a" });
    for (let change = await watch.next(); change !== "xa"; change = await watch.next()) {
      expect(change).toBe(`+a ${CANCELED}`);
    }
  });

  test("goes on after a version, also across a restart of the tracker, deletions included", async () => {
    const before = await testTracker();
    for (const jobId of ["a", "b", "c"]) await before.jobs.createJob({ jobId, spec: someSpec });
    const watch = new Watch(before.jobs.watchJobs({}));
    await watch.take(4);
    await before.jobs.cancelJob({ jobId: "b" });
    await before.jobs.cancelJob({ jobId: "c" });
    await before.jobs.deleteJob({ jobId: "c" });
    await before.tracker.close();
    const { jobs } = await testTracker({ dataDirectory: before.dataDirectory });
    const resumed = new Watch(jobs.watchJobs({ afterVersion: watch.version }));
    expect(await resumed.take(3)).toEqual([`+b ${CANCELED}`, "xc", "synced"]);
    await jobs.createJob({ jobId: "d", spec: someSpec });
    expect(await resumed.next()).toBe(`+d ${PENDING}`);
  });

  test("is ABORTED for a version that the tracker never gave", async () => {
    const { jobs } = await testTracker();
    const watch = new Watch(jobs.watchJobs({ afterVersion: 77n }));
    await expect(watch.next()).rejects.toMatchObject({ code: Code.Aborted });
  });
});

describe("WatchJob", () => {
  test("sends the job as it is, each change, and ends when job and log are done", async () => {
    const { jobs, address } = await testTracker();
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    const states: JobState[] = [];
    const versions: bigint[] = [];
    const watching = (async () => {
      for await (const { job } of jobs.watchJob({ jobId: "j" })) {
        states.push(job?.state ?? 0);
        versions.push(job?.version ?? 0n);
        if (states.length === 1) agent.state("RUNNING");
        if (job?.state === RUNNING) agent.result();
      }
    })();
    await watching;
    expect(states.slice(0, 2)).toEqual([SETTING_UP, RUNNING]);
    expect(states.at(-1)).toBe(JobState.SUCCEEDED);
    expect(versions).toEqual(versions.toSorted((a, b) => Number(a - b)));
    expect(new Set(versions).size).toBe(versions.length);
  });

  test("shows that the agent is away, and that it is back", async () => {
    const { jobs, address } = await testTracker();
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    const connected = (value: boolean) => waitForJob(jobs, "j", ({ attempts }) => attempts[0]?.connected === value);
    await connected(true);
    agent.vanish();
    await connected(false);
    await ScriptedAgent.connect({ url: address, jobId: "j", sessionId: agent.sessionId }).hello();
    await connected(true);
  });

  test("ends with NOT_FOUND when the job is unknown", async () => {
    const { jobs } = await testTracker();
    const watch = jobs.watchJob({ jobId: "j" })[Symbol.asyncIterator]();
    await expect(watch.next()).rejects.toMatchObject({ code: Code.NotFound });
  });
});
