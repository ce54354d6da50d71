import { existsSync, writeFileSync } from "node:fs";
import path from "node:path";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import type { Job } from "../../src/index.ts";
import { startTestTracker } from "../../src/testing/index.ts";
import { belay, belayEnds, tempDirectory } from "../helpers/cli.ts";

/** Library that moves the clock of a running process, except the monotonic one (Debian: faketime). */
const FAKETIME = ["x86_64-linux-gnu", "aarch64-linux-gnu"]
  .map((machine) => `/usr/lib/${machine}/faketime/libfaketimeMT.so.1`)
  .find((file) => existsSync(file));

/** Makes a clock for one process. */
async function someClock(): Promise<{ env: Record<string, string>; move: (by: string) => void }> {
  const file = path.join(await tempDirectory(), "clock");
  const move = (by: string): void => writeFileSync(file, `${by}\n`);
  move("+0");
  return {
    move,
    env: {
      LD_PRELOAD: FAKETIME ?? "",
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
    },
  };
}

/** Durations of a job: from start to end, and from the order to each step of the end. Milliseconds. */
function durations(job: Job | undefined): { took: number; ends: number[] } {
  const { startTime, endTime, evidence } = job?.result ?? {};
  const at = (time: typeof startTime): number => (time === undefined ? Number.NaN : timestampMs(time));
  const asked = at(evidence?.askTime);
  return {
    took: at(endTime) - at(startTime),
    ends: [...(evidence?.signals ?? []).map(({ sendTime }) => sendTime), evidence?.treeEmptyTime].map(
      (time) => at(time) - asked,
    ),
  };
}

// A job that ignores the stop signal, so that its evidence has a duration.
const STUBBORN = "trap '' TERM; date +%s; sleep 1; date +%s; while :; do sleep 0.1; done";
const TIMEOUT_MS = 1500;
const GRACE_MS = 500;
/** Inaccuracy of timers and of times in whole milliseconds. */
const SLACK_MS = 50;
const LEASE_MS = 700;
/** More than any of these jobs takes. Milliseconds. */
const LONGEST_MS = 60_000;

describe.skipIf(FAKETIME === undefined)("A clock that is moved (skipped where libfaketime is missing)", () => {
  it("at the agent changes neither the duration of a time-out nor that of its evidence", async () => {
    await using tracker = await startTestTracker();
    const limits = ["--timeout", `${TIMEOUT_MS}ms`, "--grace", `${GRACE_MS}ms`];
    const moved = async (by: string, index: number): Promise<Job | undefined> => {
      const { env, move } = await someClock();
      const jobId = `j${index}`;
      const flags = ["--tracker", tracker.url, "--job", jobId, ...limits];
      const run = belay(["run", ...flags, "--", "sh", "-c", STUBBORN], { env });
      const [before] = await run.says(/^\d+$/m);
      move(by);
      expect(await run.ended).toBe(124);
      expect(Number(run.stdout.trim().split("\n").at(-1)) - Number(before), "the job sees the move").not.toBe(0);
      return (await tracker.client.getJob({ jobId })).job;
    };
    for (const job of await Promise.all(["+2h", "-2h", "+400d"].map(moved))) {
      const { took, ends } = durations(job);
      expect(took).toBeGreaterThanOrEqual(TIMEOUT_MS + GRACE_MS - SLACK_MS);
      expect(took).toBeLessThan(LONGEST_MS);
      // The stop signal, SIGKILL, and the empty tree.
      expect(ends[0]).toBeLessThan(GRACE_MS);
      expect(ends[1]).toBeGreaterThanOrEqual(GRACE_MS - SLACK_MS);
      expect(ends.at(-1)).toBeLessThan(LONGEST_MS);
    }
  });

  it("between a cancel and its end does not change the time shown between them", async () => {
    await using tracker = await startTestTracker();
    const { env, move } = await someClock();
    const run = belay(["run", "--tracker", tracker.url, "--job", "j", "--grace", "1s", "--", "sh", "-c", STUBBORN], {
      env,
    });
    await run.says(/^\d+$/m);
    await tracker.client.cancelJob({ jobId: "j" });
    move("-3h");
    await run.ended;
    const { job } = await tracker.client.getJob({ jobId: "j" });
    const { took, ends } = durations(job);
    expect(took).toBeGreaterThanOrEqual(900);
    expect(ends.at(-1)).toBeGreaterThanOrEqual(900);
    expect(ends.at(-1)).toBeLessThan(LONGEST_MS);
    const show = await belayEnds(["show", "--tracker", tracker.url, "j"]);
    expect(show.stdout).toMatch(/^ +\+1\.\ds +SIGKILL sent/m);
  });

  it("at the tracker loses no job", async () => {
    const moved = async (by: string): Promise<void> => {
      const { env, move } = await someClock();
      const lease = ["--heartbeat-interval", "100ms", "--lease", `${LEASE_MS}ms`];
      const tracker = belay(["tracker", "--listen", "127.0.0.1:0", "--data", await tempDirectory(), ...lease], { env });
      const [, url = ""] = await tracker.says(/^listening on (\S+), data in /m);
      const run = belay(["run", "--tracker", url, "--job", "j", "--", "sh", "-c", "echo on; sleep 60"]);
      await run.says(/^on$/m);
      move(by);
      const waited = await belayEnds(["wait", "--tracker", url, "--timeout", `${2 * LEASE_MS}ms`, "j"]);
      expect(waited.stderr).toContain("RUNNING");
      await belayEnds(["cancel", "--tracker", url, "--wait", "j"]);
      expect(await run.ended).toBe(143);
      expect(tracker.stderr).not.toContain("lost");
    };
    await Promise.all(["+2h", "-2h"].map(moved));
  });
});
