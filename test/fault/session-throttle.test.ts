import { describe, expect, test } from "vitest";
import type { Attempt } from "../../src/gen/belay/v1/job_pb.ts";
import { JobState } from "../../src/gen/belay/v1/job_pb.ts";
import { waitForState } from "../../src/testing/index.ts";
import { testDirectory, testTracker } from "../helpers/tracker.ts";
import { someAgent, until } from "./an-agent.ts";
import { record } from "./record.ts";
import { TcpProxy } from "./tcp-proxy.ts";

/** Milliseconds. Heartbeats are due every second, and data under way before them delay them by two seconds at most. */
const LEASE = 8000;
/** 1 Mbit/s, in bytes a second. */
const NARROW = 125_000;

describe("On a link of 1 Mbit/s with 20 MB of output waiting", () => {
  test("heartbeats arrive within the lease, and a cancel takes effect within a second", async () => {
    const { jobs, address } = await testTracker({ heartbeatInterval: 1000, lease: LEASE });
    const proxy = await TcpProxy.start(address);
    proxy.setConditions({ up: { bytesPerSecond: NARROW }, down: { bytesPerSecond: NARROW } });
    const agent = someAgent(proxy.url, "echo ready; head -c 20000000 /dev/urandom; echo done; exec sleep 1000", {
      spoolDirectory: await testDirectory(),
    });
    await until(agent.progress, /^connected/);
    await agent.prints("ready");
    const begin = performance.now();
    let longest = 0;
    let last = begin;
    let beats = 0n;
    let waiting = 0n;
    let attempt: Attempt | undefined;
    // Waits for ten heartbeats under full load. There is no event for a heartbeat, so the job is polled.
    while (beats < 10n) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      const { job } = await jobs.getJob({ jobId: "j1" });
      expect(job?.state).not.toBe(JobState.LOST);
      attempt = job?.attempts[0];
      const beat = attempt?.heartbeat;
      if (beat === undefined || beat.nonce === beats) continue;
      const now = performance.now();
      longest = Math.max(longest, now - last);
      last = now;
      beats = beat.nonce;
      waiting = beat.spoolMemoryBytes + beat.spoolDiskBytes;
    }
    expect(attempt?.heartbeat?.streams).toBe(1);
    expect(waiting).toBeGreaterThan(15_000_000n);
    const asked = Date.now();
    const before = performance.now();
    const { agentConnected } = await jobs.cancelJob({ jobId: "j1" });
    expect(agentConnected).toBe(true);
    const job = await waitForState(jobs, "j1", "CANCELED");
    const confirmed = performance.now() - before;
    const empty = job.result?.evidence?.treeEmptyTime;
    const effective = empty === undefined ? Number.NaN : Number(empty.seconds) * 1000 + empty.nanos / 1e6 - asked;
    const remark = `a job that is canceled; longest wait for a heartbeat ${Math.round(longest)} ms; confirmed after ${Math.round(confirmed)} ms`;
    record({
      fault: "1 Mbit/s, 20 MB behind: until a cancel is effective",
      recovered: effective,
      remark,
    });
    // Measured: 7 ms, 2.6 s and 1.0 s. 20 MB take 160 s on this link: a message behind them would exceed every bound.
    expect(effective).toBeLessThan(1000);
    expect(longest).toBeLessThan(LEASE);
    expect(confirmed).toBeLessThan(5000);
  });
});
