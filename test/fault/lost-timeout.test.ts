import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { EndReason, HealthStatus } from "../../src/gen/belay/v1/job_pb.ts";
import { readLog, waitForJob, waitForState } from "../../src/testing/index.ts";
import { TrackerProcess } from "../helpers/cli.ts";
import { isAlive } from "../helpers/processes.ts";
import { testDirectory, testTracker } from "../helpers/tracker.ts";
import { counting, someAgent } from "./an-agent.ts";
import { TcpProxy } from "./tcp-proxy.ts";

const args = ["--lease", "1s", "--lost-timeout", "1s"];
const script = "echo pid $$; exec sleep 1000";

describe("A job whose agent is silent for longer than --lost-timeout has FAILED with AGENT_LOST", () => {
  it("and the agent, when it goes on, kills the job, exits with 125 and says why", async () => {
    const tracker = await TrackerProcess.start({ args });
    const run = tracker.belay("run", "--job", "j1", "--", "sh", "-c", script);
    const [, pid = ""] = await run.says(/^pid (\d+)$/m);
    process.kill(run.pid, "SIGSTOP");
    const waited = await tracker.ends("wait", "j1");
    expect(waited.code).toBe(125);
    const before = await tracker.ends("show", "--json", "j1");
    expect(JSON.parse(before.stdout)).toMatchObject({
      state: "JOB_STATE_FAILED",
      result: {
        reason: "END_REASON_AGENT_LOST",
        failureClass: "FAILURE_CLASS_INFRASTRUCTURE",
        message: expect.stringMatching(/^No message from the agent on \S+ for \d\.\ds$/) as unknown,
      },
      attempts: [{ superseded: true, logCompleteness: "LOG_COMPLETENESS_INCOMPLETE" }],
    });
    expect(isAlive(Number(pid))).toBe(true);
    process.kill(run.pid, "SIGCONT");
    expect(await run.ended).toBe(125);
    expect(run.stderr).toMatch(
      /Job "j1" is no longer this agent's: Attempt 1 of job "j1" was LOST for too long: the job has ended, it is FAILED/,
    );
    await expect.poll(() => isAlive(Number(pid))).toBe(false);
    // An ended job never changes again.
    expect((await tracker.ends("show", "--json", "j1")).stdout).toBe(before.stdout);
  });

  it("also across a tracker that is killed meanwhile, which first gives the agent a lease", async () => {
    const before = await TrackerProcess.start({ args });
    const run = before.belay("run", "--job", "j1", "--", "sh", "-c", script);
    await run.says(/^pid (\d+)$/m);
    await run.kill("SIGKILL");
    let state = "";
    while (!/LOST/.test(state)) state = (await before.ends("jobs")).stdout;
    await before.cli.kill("SIGKILL");
    const tracker = await TrackerProcess.start({ data: before.data, listen: new URL(before.url).host, args });
    expect((await tracker.ends("jobs")).stdout).toMatch(/LOST/);
    expect((await tracker.ends("wait", "j1")).code).toBe(125);
    expect((await tracker.ends("show", "j1")).stdout).toMatch(/AGENT_LOST/);
  });
});

describe("A job that goes on where the network does not, for longer than lostTimeout allows", () => {
  it("has FAILED; when the network is back, its agent kills it, and nothing that it printed is added to the log", async () => {
    const { address, jobs } = await testTracker({ heartbeatInterval: 200, lease: 800, lostTimeout: 500 });
    const proxy = await TcpProxy.start(address);
    const agent = someAgent(proxy.url, `echo pid $$; ${counting(join(await testDirectory(), "never"))}`);
    await agent.prints("line 20 ");
    const pid = Number(/^pid (\d+)$/m.exec(agent.output())?.[1]);
    proxy.goAway();
    await waitForJob(jobs, "j1", ({ attempts }) => attempts[0]?.health?.status === HealthStatus.DISCONNECTED);
    const before = await waitForState(jobs, "j1", "FAILED");
    expect(before.result?.reason).toBe(EndReason.AGENT_LOST);
    const log = await readLog(jobs, "j1", { follow: false });
    expect(isAlive(pid)).toBe(true);
    await proxy.comeBack();
    await expect(agent.outcome).rejects.toMatchObject({
      code: "SUPERSEDED",
      message: expect.stringContaining("was LOST for too long: the job has ended, it is FAILED") as unknown,
    });
    expect(isAlive(pid)).toBe(false);
    expect(agent.output().length).toBeGreaterThan(log.length);
    expect(await readLog(jobs, "j1", { follow: false })).toBe(log);
    expect((await jobs.getJob({ jobId: "j1" })).job).toEqual(before);
  });
});

describe("A job with a retry policy whose agent is silent for longer than --lost-timeout", () => {
  it("waits for another agent, which runs the next attempt; the first one kills its own when it goes on", async () => {
    const tracker = await TrackerProcess.start({ args });
    const policy = ["--max-attempts", "2"];
    const first = tracker.belay("run", "--job", "j1", ...policy, "--", "sh", "-c", script);
    const [, pid = ""] = await first.says(/^pid (\d+)$/m);
    process.kill(first.pid, "SIGSTOP");
    let state = "";
    while (!/PENDING/.test(state)) state = (await tracker.ends("show", "j1")).stdout;
    expect(state).toMatch(/^Why +Attempt 1 ended with AGENT_LOST \(INFRASTRUCTURE\): No message from the agent on /m);
    const second = await tracker.ends("run", "--job", "j1", ...policy, "--", "echo", "done");
    expect(second).toMatchObject({ code: 0, stdout: "done\n" });
    process.kill(first.pid, "SIGCONT");
    expect(await first.ended).toBe(125);
    expect(first.stderr).toMatch(
      /Job "j1" is no longer this agent's: Attempt 1 of job "j1" was superseded by attempt 2/,
    );
    await expect.poll(() => isAlive(Number(pid))).toBe(false);
    const { stdout } = await tracker.ends("show", "--json", "j1");
    expect(JSON.parse(stdout)).toMatchObject({
      state: "JOB_STATE_SUCCEEDED",
      attempts: [
        { result: { reason: "END_REASON_AGENT_LOST", failureClass: "FAILURE_CLASS_INFRASTRUCTURE" } },
        { result: { outcome: "OUTCOME_SUCCEEDED" }, logCompleteness: "LOG_COMPLETENESS_COMPLETE" },
      ],
    });
  });
});

describe("A submitted job that no agent takes within --pending-timeout", () => {
  it("has FAILED with NO_AGENT, for belay wait, belay show and an agent that comes later", async () => {
    const tracker = await TrackerProcess.start();
    await tracker.ends("submit", "--job", "j1", "--pending-timeout", "300ms", "--", "true");
    const waited = await tracker.ends("wait", "j1");
    expect(waited.code).toBe(125);
    expect(waited.stderr + waited.stdout).toMatch(/^j1 is FAILED \(NO_AGENT\)/m);
    expect((await tracker.ends("show", "j1")).stdout).toMatch(/^Why +No agent took the job within 300ms$/m);
    const late = await tracker.ends("run", "--job", "j1");
    expect(late.code).toBe(125);
    expect(late.stderr).toMatch(/Job "j1" has ended: it is FAILED/);
  });
});
