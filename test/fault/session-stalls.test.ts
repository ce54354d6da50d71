import { describe, expect, it } from "vitest";
import { readFileSync } from "node:fs";
import { JobState } from "../../src/gen/belay/v1/job_pb.ts";
import { waitForJob, waitForState } from "../../src/testing/index.ts";
import { TrackerProcess } from "../helpers/cli.ts";
import { jobClient } from "../helpers/tracker.ts";

// The built command, because a whole process is stopped. Heartbeats every 300 ms, a lease of 3 s.

/** The process that runs under a parent. */
function childOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ")[0]);
}

/** Waits for a time that is the duration of the fault, not a guess how long something takes. */
function passing(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

describe("A process that is stopped (SIGSTOP)", () => {
  it("an agent, for longer than a lease: LOST, and RUNNING again when it goes on; the job is not affected", async () => {
    const tracker = await TrackerProcess.start();
    const jobs = jobClient(tracker.url);
    const run = tracker.belay("run", "--job", "j1", "--", "sh", "-c", "echo ready; exec sleep 1000");
    await run.says(/ready/);
    await waitForState(jobs, "j1", "RUNNING");
    process.kill(run.pid, "SIGSTOP");
    await waitForState(jobs, "j1", "LOST");
    const back = performance.now();
    process.kill(run.pid, "SIGCONT");
    await waitForState(jobs, "j1", "RUNNING");
    // It takes a fraction of a second; the bound is a lease.
    expect(performance.now() - back).toBeLessThan(3000);
    expect(childOf(run.pid)).toBeGreaterThan(1);
    expect((await tracker.ends("cancel", "--wait", "j1")).code).toBe(0);
    expect(await run.ended).toBe(143);
  });

  it("an agent, for two intervals: nothing happens", async () => {
    const tracker = await TrackerProcess.start({ args: ["--heartbeat-interval", "1s"] });
    const jobs = jobClient(tracker.url);
    const run = tracker.belay("run", "--job", "j1", "--", "sh", "-c", "echo ready; exec sleep 1000");
    await run.says(/ready/);
    process.kill(run.pid, "SIGSTOP");
    await passing(2000);
    process.kill(run.pid, "SIGCONT");
    await tracker.ends("status", "j1");
    const after = await jobs.getJob({ jobId: "j1" });
    expect(after.job).toMatchObject({
      state: JobState.RUNNING,
      attempts: [{ connected: true, heartbeat: { streams: 1 } }],
    });
  });

  it("the tracker, for longer than a lease: it does not declare agents lost whose messages it could not read", async () => {
    const tracker = await TrackerProcess.start({ args: ["--log-level", "info", "--heartbeat-interval", "1s"] });
    const run = tracker.belay("run", "--job", "j1", "--", "sh", "-c", "echo ready; exec sleep 1000");
    await run.says(/ready/);
    const before = jobClient(tracker.url);
    await waitForState(before, "j1", "RUNNING");
    process.kill(tracker.cli.pid, "SIGSTOP");
    await passing(4500);
    process.kill(tracker.cli.pid, "SIGCONT");
    const jobs = jobClient(tracker.url);
    const job = await waitForJob(jobs, "j1", ({ attempts }) => attempts[0]?.connected === true);
    expect(job.state).toBe(JobState.RUNNING);
    expect(tracker.cli.stderr).not.toMatch(/lost/i);
    expect((await tracker.ends("status", "j1")).stdout).toMatch(/RUNNING/);
    expect((await tracker.ends("cancel", "--wait", "j1")).code).toBe(0);
    expect(tracker.cli.stderr).not.toMatch(/is lost/);
  });
});
