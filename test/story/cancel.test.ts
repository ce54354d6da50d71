import { describe, expect, it } from "vitest";
import { TrackerProcess } from "../helpers/cli.ts";
import { Frozen, noFreezer } from "../helpers/freezer.ts";
import { isAlive } from "../helpers/processes.ts";

describe("A user who cancels a job", () => {
  it("ends it, and with --wait gets the prompt back when none of its processes is left", async () => {
    const tracker = await TrackerProcess.start();
    const run = tracker.belay("run", "--job", "j1", "--", "sh", "-c", "echo $$; exec sleep 1000");
    const [, pid = ""] = await run.says(/^(\d+)$/m);
    const cancel = await tracker.ends("cancel", "--wait", "--reason", "wrong data", "j1");
    expect(cancel).toMatchObject({ code: 0, stderr: "" });
    expect(cancel.stdout).toMatch(/^j1 is CANCELED \(SIGTERM after /);
    expect(cancel.stdout).toMatch(/SIGTERM sent to 1 process$/m);
    expect(cancel.stdout).toMatch(/no process left/);
    expect(isAlive(Number(pid))).toBe(false);
    expect(await run.ended).toBe(143);
    expect(run.stderr).toContain("wrong data");
    expect((await tracker.ends("wait", "j1")).code).toBe(143);
    expect((await tracker.ends("show", "j1")).stdout).toMatch(/cancel {2}COMPLETED .*wrong data/);
  });

  it("that ignores SIGTERM sees it killed after the grace period, with its hidden children", async () => {
    const tracker = await TrackerProcess.start();
    const script = "trap '' TERM; setsid sleep 1000 & echo child $!; while :; do sleep 0.1; done";
    const run = tracker.belay("run", "--job", "j1", "--", "sh", "-c", script);
    const [, child = ""] = await run.says(/^child (\d+)$/m);
    const cancel = await tracker.ends("cancel", "--wait", "--grace", "300ms", "j1");
    expect(cancel.stdout).toMatch(/SIGTERM sent to/);
    expect(cancel.stdout).toMatch(/SIGKILL sent to/);
    expect(await run.ended).toBe(137);
    expect(isAlive(Number(child))).toBe(false);
  });

  it.skipIf(noFreezer !== undefined)("sees which process outlived SIGKILL; the agent exits with 125", async () => {
    const tracker = await TrackerProcess.start();
    const run = tracker.belay("run", "--job", "j1", "--", "sh", "-c", "echo $$; exec sleep 1000");
    const pid = Number((await run.says(/^(\d+)$/m))[1]);
    await using frozen = await Frozen.freeze(pid);
    const cancel = await tracker.ends("cancel", "--wait", "--grace", "0s", "j1");
    expect(cancel.code).toBe(125);
    expect(cancel.stdout).toMatch(/^j1 is CANCELED /);
    expect(cancel.stdout).toMatch(/SIGKILL sent to 1 process$/m);
    expect(cancel.stdout).not.toMatch(/SIGTERM/);
    expect(cancel.stdout).toMatch(new RegExp(`survived: pid ${pid}, D, sleep 1000$`, "m"));
    expect(cancel.stdout).not.toMatch(/no process left/);
    expect((await tracker.ends("show", "j1")).stdout).toContain("1 process outlived SIGKILL");
    // The process has not exited, so it has no exit code: a canceled job without one gives 143.
    expect(await run.ended).toBe(143);
    frozen.thaw();
    await expect.poll(() => isAlive(pid), { timeout: 10_000 }).toBe(false);
  });

  it("before an agent has it can be sure that no agent will run it", async () => {
    const tracker = await TrackerProcess.start();
    await tracker.ends("submit", "--job", "j1", "--", "echo", "ran");
    expect((await tracker.ends("cancel", "j1")).stdout).toMatch(/^j1 is CANCELED/);
    const run = await tracker.ends("run", "--job", "j1");
    expect(run.code).toBe(125);
    expect(run.stdout).toBe("");
  });

  it("that has ended changes nothing and gets no error", async () => {
    const tracker = await TrackerProcess.start();
    await tracker.ends("run", "--job", "j1", "--", "true");
    expect(await tracker.ends("cancel", "--wait", "j1")).toMatchObject({ code: 0, stderr: "" });
    expect((await tracker.ends("cancel", "j1")).stdout).toMatch(/^j1 is SUCCEEDED \(exit code 0/);
  });
});

describe("A user who signals, pauses or resumes a job", () => {
  it("reaches the job's processes", async () => {
    const tracker = await TrackerProcess.start();
    const script = "trap 'echo got it' USR1; echo ready; while :; do sleep 0.05; done";
    const run = tracker.belay("run", "--job", "j1", "--", "sh", "-c", script);
    await run.says(/ready/);
    expect((await tracker.ends("signal", "j1", "usr1")).code).toBe(0);
    await run.says(/got it/);
    expect((await tracker.ends("pause", "j1")).code).toBe(0);
    const watched = tracker.belay("wait", "--timeout", "300ms", "j1");
    expect(await watched.ended).toBe(125);
    expect(watched.stderr).toMatch(/Job "j1" has not ended within 300ms: it is PAUSED/);
    expect((await tracker.ends("resume", "j1")).code).toBe(0);
    await tracker.ends("cancel", "--wait", "j1");
  });
});
