import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { silentLogger } from "../../src/base/logger.ts";
import { GapReason } from "../../src/gen/belay/v1/tracker_service_pb.ts";
import { Retention } from "../../src/tracker/retention.ts";
import { ScriptedAgent, readLog } from "../../src/testing/index.ts";
import { ManualClock } from "../helpers/manual-clock.ts";
import type { TestTracker } from "../helpers/tracker.ts";
import { someSpec, testTracker } from "../helpers/tracker.ts";

/** A job that printed so many bytes and, unless told otherwise, has ended. */
async function job({ address }: TestTracker, id: string, bytes: number, ends = true): Promise<void> {
  const agent = ScriptedAgent.connect({ url: address, jobId: id });
  await agent.hello({ spec: someSpec });
  agent.print(Buffer.alloc(bytes, "x"));
  if (!ends) return agent.acked(0n, 1n);
  agent.result();
  await agent.next("receipt");
  agent.halfClose();
  await agent.ended;
}

/** Ids of jobs, once some of them were deleted. */
async function afterDeletionOf({ jobs }: TestTracker, count: number): Promise<string[]> {
  let deleted = 0;
  for await (const { change } of jobs.watchJobs({})) {
    if (change.case === "deletedJobId" && ++deleted === count) break;
  }
  return (await jobs.listJobs({})).jobs.map(({ jobId }) => jobId);
}

describe("Retention", () => {
  test("by age removes jobs that ended long ago with their logs, and notifies watchers; running jobs stay", async () => {
    const first = await testTracker();
    await job(first, "old", 10);
    await job(first, "older", 10);
    await job(first, "runs", 10, false);
    await first.tracker.close();
    const { dataDirectory } = first;
    const logs = join(dataDirectory, "logs");
    expect(existsSync(join(logs, "1"))).toBe(true);
    const second = await testTracker({ dataDirectory, retention: { age: 1, interval: 10 } });
    await expect.poll(async () => (await second.jobs.listJobs({})).jobs.map(({ jobId }) => jobId)).toEqual(["runs"]);
    await expect.poll(() => [1, 2, 3].map((key) => existsSync(join(logs, String(key))))).toEqual([false, false, true]);
    expect(await readLog(second.jobs, "runs", { follow: false })).toBe("x".repeat(10));
  });

  test("by size removes those that ended first until the rest fits, and never a job that runs", async () => {
    const tracker = await testTracker({ retention: { bytes: 250_000, interval: 20 } });
    await job(tracker, "runs", 100_000, false);
    await job(tracker, "a", 60_000);
    await job(tracker, "b", 60_000);
    const left = afterDeletionOf(tracker, 2);
    await job(tracker, "c", 60_000);
    await job(tracker, "d", 60_000);
    expect(await left).toEqual(["d", "c", "runs"]);
  });

  test("removes nothing unless asked to", async () => {
    const tracker = await testTracker({ retention: { interval: 1 } });
    await job(tracker, "a", 10);
    await job(tracker, "b", 10);
    expect((await tracker.jobs.listJobs({})).jobs).toHaveLength(2);
  });
});

describe("Retention by age, when the tracker's clock is moved by a day,", () => {
  const HOUR_MS = 3_600_000;

  test.each([
    ["forward: removes nothing", 24 * HOUR_MS, 0, []],
    ["back: removes nothing", -24 * HOUR_MS, 0, []],
    ["not at all, and two hours have passed: removes the job", 2 * HOUR_MS, 2 * HOUR_MS, ["j"]],
  ])("%s", async (_, moved, passed, expected) => {
    const start = 1_700_000_000_000;
    const clock = Object.assign(new ManualClock(), { now: () => start + moved, unixMs: () => start + passed });
    const removed: string[] = [];
    const ended = [{ key: 1, jobId: "j", endTime: start, bytes: 0 }];
    const store = { endedJobs: () => Promise.resolve(ended.splice(0)) };
    const registry = {
      find: (jobId: string) => Promise.resolve({ id: jobId }),
      remove: ({ id }: { id: string }) => Promise.resolve(void removed.push(id)),
    };
    const context = { registry, store, clock };
    const retention = new Retention(context as never, { age: HOUR_MS, bytes: 0, interval: 60_000 }, silentLogger);
    retention.start();
    await expect.poll(() => clock.pending).toBe(1);
    expect(removed).toEqual(expected);
    await retention.close();
  });
});

test("A limit on one log keeps its beginning and shows the rest as a gap; the lane goes on", async () => {
  const { address, jobs } = await testTracker({ logLimit: 25 });
  const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
  await agent.hello({ spec: someSpec });
  for (let i = 0; i < 5; i++) agent.print("0123456789");
  agent.result();
  const receipt = await agent.next("receipt");
  expect(receipt.message).toBe("stdout: 30 of 50 bytes were dropped");
  const seen: unknown[] = [];
  for await (const { chunks } of jobs.readLogs({ jobId: "j" })) {
    for (const { content } of chunks) {
      seen.push(content.case === "gap" ? [content.value.bytes, content.value.reason] : content.case);
    }
  }
  const gap = [10n, GapReason.LOG_LIMIT];
  expect(seen).toEqual(["data", "data", gap, gap, gap]);
});
