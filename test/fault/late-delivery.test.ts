import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { belay, type Cli, tempDirectory, TrackerProcess } from "../helpers/cli.ts";
import { TcpProxy } from "./tcp-proxy.ts";

const LINES = Array.from({ length: 20_000 }, (_, i) => `${i + 1}\n`).join("");

interface Left {
  readonly tracker: TrackerProcess;
  readonly spool: string;
  readonly run: Cli;
}

/**
 * An agent that loses its network, after which its job prints on, and that is gone before the network is back.
 *
 * @param script goes on when the network is cut
 * @param gone waits until the agent has ended, or ends it
 */
async function left(script: string, flags: readonly string[], gone: (run: Cli) => Promise<unknown>): Promise<Left> {
  const tracker = await TrackerProcess.start({ args: ["--lease", "1s", "--lost-timeout", "500ms"] });
  const proxy = await TcpProxy.start(tracker.url);
  const [spool, cwd] = [await tempDirectory(), await tempDirectory()];
  execFileSync("mkfifo", [join(cwd, "cut")]);
  const settings = ["--job", "j1", "--spool-dir", spool, "--flush-timeout", "300ms", "--cwd", cwd, ...flags];
  const command = ["sh", "-c", `echo first; read -r _ < cut; ${script}`];
  const run = belay(["run", "--tracker", proxy.url, ...settings, "--", ...command]);
  await run.says(/^first$/m);
  await tracker.belay("logs", "--follow", "j1").says(/^first$/m);
  proxy.goAway();
  execFileSync("sh", ["-c", 'echo > "$0"', join(cwd, "cut")]);
  await gone(run);
  return { tracker, spool, run };
}

async function killed(run: Cli): Promise<void> {
  await run.says(/^20000$/m);
  await run.kill("SIGKILL");
}

async function jobOf(tracker: TrackerProcess): Promise<Record<string, unknown>> {
  return JSON.parse((await tracker.ends("show", "--json", "j1")).stdout) as Record<string, unknown>;
}

describe("What a dead agent left of a job that has been LOST for longer than --lost-timeout", () => {
  it("is delivered by belay flush, every line of it, and the job stays as it is", async () => {
    const { tracker, spool } = await left("seq 1 20000; exec sleep 1000", [], killed);
    expect((await tracker.ends("wait", "j1")).code).toBe(125);
    const before = await jobOf(tracker);
    expect(before).toMatchObject({
      state: "JOB_STATE_FAILED",
      result: {
        reason: "END_REASON_AGENT_LOST",
        message: expect.stringMatching(/^No message from the agent/) as unknown,
      },
      attempts: [{ logCompleteness: "LOG_COMPLETENESS_INCOMPLETE" }],
    });
    expect((await tracker.ends("logs", "--stream", "stdout", "j1")).stdout).toBe("first\n");

    expect(await tracker.ends("flush", spool)).toMatchObject({
      code: 0,
      stdout: "Delivered  job j1, attempt 1, AGENT_LOST\n",
    });
    expect(readdirSync(spool)).toEqual([]);
    expect((await tracker.ends("logs", "--stream", "stdout", "j1")).stdout).toBe(`first\n${LINES}`);
    const { attempts, version: _, ...job } = await jobOf(tracker);
    const { attempts: __, version: ___, ...wanted } = before;
    expect(job).toEqual(wanted);
    expect(attempts).toMatchObject([
      { logCompleteness: "LOG_COMPLETENESS_COMPLETE", result: { reason: "END_REASON_AGENT_LOST" } },
    ]);
  });

  it("is delivered by the next belay run with its spool directory, which then runs the next attempt", async ({
    expect,
  }) => {
    const policy = ["--max-attempts", "2"];
    const { tracker, spool } = await left("seq 1 20000; exec sleep 1000", policy, killed);
    while ((await jobOf(tracker))["state"] !== "JOB_STATE_PENDING");
    const flags = ["--job", "j1", "--spool-dir", spool, ...policy];
    const next = await tracker.ends("run", ...flags, "--", "sh", "-c", 'echo "attempt $BELAY_ATTEMPT"');
    expect(next).toMatchObject({ code: 0, stdout: "attempt 2\n" });
    expect(readdirSync(spool)).toEqual([]);
    const log = await tracker.ends("logs", "--stream", "stdout", "--attempt", "1", "j1");
    expect(log.stdout).toBe(`first\n${LINES}`);
    expect(await jobOf(tracker)).toMatchObject({
      state: "JOB_STATE_SUCCEEDED",
      attempts: [
        { result: { reason: "END_REASON_AGENT_LOST" }, logCompleteness: "LOG_COMPLETENESS_COMPLETE" },
        { result: { outcome: "OUTCOME_SUCCEEDED" } },
      ],
    });
  });

  it("may hold a result: belay flush names it, and the job does not change", async () => {
    const { tracker, spool, run } = await left("seq 1 20000", [], (agent) => agent.ended);
    expect(await run.ended).toBe(125);
    expect((await tracker.ends("wait", "j1")).code).toBe(125);
    expect(await tracker.ends("flush", spool)).toMatchObject({
      code: 0,
      stdout: "Delivered  job j1, attempt 1; its agent reported SUCCEEDED, but the job was FAILED by then\n",
    });
    expect((await tracker.ends("logs", "--stream", "stdout", "j1")).stdout).toBe(`first\n${LINES}`);
    expect(await jobOf(tracker)).toMatchObject({
      state: "JOB_STATE_FAILED",
      result: { reason: "END_REASON_AGENT_LOST" },
      attempts: [{ logCompleteness: "LOG_COMPLETENESS_COMPLETE", result: { reason: "END_REASON_AGENT_LOST" } }],
    });
  });

  it("may hold a result: the next belay run delivers it and does not report the job as ended with it", async ({
    expect,
  }) => {
    const { tracker, spool } = await left("seq 1 20000", [], (agent) => agent.ended);
    expect((await tracker.ends("wait", "j1")).code).toBe(125);
    const next = await tracker.ends("run", "--job", "j1", "--spool-dir", spool, "--", "echo", "again");
    expect(next).toMatchObject({ code: 125, stdout: "" });
    expect(next.stderr).toMatch(/Job "j1" has ended: it is FAILED/);
    expect((await tracker.ends("logs", "--stream", "stdout", "j1")).stdout).toBe(`first\n${LINES}`);
  });
});
