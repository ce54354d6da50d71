import { describe, expect, it } from "vitest";
import { TrackerProcess } from "../helpers/cli.ts";

describe("A user who asks for a job's status", () => {
  it("gets a live answer from the agent", async () => {
    const tracker = await TrackerProcess.start();
    const run = tracker.belay("run", "--job", "j1", "--", "sh", "-c", "echo $$; exec sleep 1000");
    const [, pid = ""] = await run.says(/^(\d+)$/m);
    const status = await tracker.ends("status", "j1");
    expect(status.stdout).toMatch(/^State +RUNNING$/m);
    expect(status.stdout).toMatch(/^Agent +answered in /m);
    expect(status.stdout).toMatch(new RegExp(`^${pid} .* sleep 1000$`, "m"));
    const json: unknown = JSON.parse((await tracker.ends("status", "--json", "j1")).stdout);
    expect(json).toMatchObject({ job: { jobId: "j1" }, report: { state: "JOB_STATE_RUNNING", pid: Number(pid) } });
    await tracker.ends("cancel", "--wait", "j1");
  });

  it("sees that the agent is not connected, and that the job is lost when its lease has expired", async () => {
    const tracker = await TrackerProcess.start();
    const run = tracker.belay("run", "--job", "j1", "--", "sh", "-c", "echo ready; exec sleep 1000");
    await run.says(/ready/);
    await run.kill("SIGKILL");
    const status = await tracker.ends("status", "--wait", "300ms", "j1");
    expect(status.code).toBe(0);
    expect(status.stdout).toMatch(/^Agent +no answer: /m);
    const wait = tracker.belay("wait", "j1");
    await wait.says(/The agent of "j1" is lost/);
    expect((await tracker.ends("jobs", "--state", "lost")).stdout).toMatch(/^j1 +LOST/m);
  });

  it("sees how the job ended when it has ended", async () => {
    const tracker = await TrackerProcess.start();
    await tracker.ends("run", "--job", "j1", "--", "sh", "-c", "exit 3");
    expect((await tracker.ends("status", "j1")).stdout).toMatch(/^State +FAILED \(exit code 3 after .*\)$/m);
  });
});
