import { describe, expect, onTestFinished, test } from "vitest";
import type { JobClient } from "../../../src/cli/client/client.ts";
import { openClient } from "../../../src/cli/client/client.ts";
import { Feed } from "../../../src/cli/top/feed.ts";
import { JobSet } from "../../../src/cli/top/job-set.ts";
import { JobState } from "../../../src/gen/belay/v1/job_pb.ts";
import { ScriptedAgent } from "../../../src/testing/index.ts";
import { someSpec, testTracker } from "../../helpers/tracker.ts";

/** A feed of a tracker, and the calls that it makes. */
async function feedOf(
  address: string,
  visible: () => readonly string[],
): Promise<{ feed: Feed; jobs: JobSet; calls: string[] }> {
  const client = await openClient({ tracker: address, connectTimeout: 5_000 });
  const calls: string[] = [];
  const counted: JobClient = {
    ...client,
    once: (make) =>
      client.once((service) =>
        make(
          new Proxy(service, {
            get: (target, name, receiver) => {
              calls.push(String(name));
              return Reflect.get(target, name, receiver) as unknown;
            },
          }),
        ),
      ),
  };
  const jobs = new JobSet();
  const over = new AbortController();
  const options = { filter: {}, intervalMs: 300, states: new Set<JobState>(), visible, onChange: () => undefined };
  const feed = new Feed({ client: counted, jobs, ...options });
  const running = feed.run(over.signal);
  onTestFinished(async () => {
    over.abort();
    await running;
    client.close();
  });
  return { feed, jobs, calls };
}

describe("The screen is kept up to date", () => {
  test("with samples, progress and the last line, and how a job ended", async () => {
    const { address } = await testTracker();
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    agent.state("RUNNING");
    const { jobs } = await feedOf(address, () => ["j"]);
    await expect.poll(() => jobs.get("j")?.state).toBe(JobState.RUNNING);
    agent.event({ case: "metricSample", value: { cpuCores: 1.5, memoryBytes: 1024n, processes: 1 } });
    agent.event({ case: "jobMetrics", value: { progress: { fraction: 0.5, note: "half" } } });
    agent.print("one\ntwo\n");
    await expect
      .poll(() => jobs.get("j"), { timeout: 10_000 })
      .toMatchObject({ cpuCores: 1.5, progress: { fraction: 0.5, note: "half" } });
    await expect.poll(() => jobs.lastLine("j"), { timeout: 10_000 }).toBe("two");
    agent.print("three", 2);
    await expect.poll(() => jobs.lastLine("j"), { timeout: 10_000 }).toBe("three");
    agent.result({ outcome: 2, exitCode: 3 });
    await expect
      .poll(() => jobs.get("j"), { timeout: 10_000 })
      .toMatchObject({ state: JobState.FAILED, remark: "exit code 3" });
  });

  test("a deleted job disappears", async () => {
    const { address, jobs: service } = await testTracker();
    await service.createJob({ jobId: "j", spec: someSpec });
    const { jobs } = await feedOf(address, () => ["j"]);
    await expect.poll(() => jobs.size).toBe(1);
    await service.cancelJob({ jobId: "j" });
    await expect.poll(() => jobs.get("j")?.state).toBe(JobState.CANCELED);
    await service.deleteJob({ jobId: "j" });
    await service.createJob({ jobId: "k", spec: someSpec });
    await expect.poll(() => jobs.get("k")?.state).toBe(JobState.PENDING);
  });
});

test("Many jobs cost calls only for those on the screen and for one page of the others", async () => {
  const { address, jobs: service } = await testTracker();
  await Promise.all(Array.from({ length: 350 }, (_, i) => service.createJob({ jobId: `j${i}`, spec: someSpec })));
  const visible = ["j0", "j1", "j2"];
  const { feed, jobs, calls } = await feedOf(address, () => visible);
  await expect.poll(() => jobs.size, { timeout: 10_000 }).toBe(350);
  const pages = (): number => calls.filter((name) => name === "listJobs").length;
  await expect.poll(pages, { timeout: 20_000 }).toBeGreaterThanOrEqual(8);
  const rounds = pages();
  expect(calls.filter((name) => name === "getJob").length).toBeLessThanOrEqual((rounds + 1) * visible.length);
  expect(calls.filter((name) => name === "readLogs")).toEqual([]);
  expect(feed.state).toMatchObject({ synced: true, outage: undefined });
});

test("Ended jobs are requested only when they are shown", async () => {
  const { address, jobs: service } = await testTracker();
  await service.createJob({ jobId: "j", spec: someSpec });
  await service.cancelJob({ jobId: "j" });
  const { feed, jobs } = await feedOf(address, () => []);
  await expect.poll(() => feed.state.synced).toBe(true);
  expect(jobs.size).toBe(0);
  feed.requestEnded();
  await expect.poll(() => jobs.get("j")?.state).toBe(JobState.CANCELED);
});
