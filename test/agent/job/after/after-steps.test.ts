import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { describe, it } from "vitest";
import type { EndOrder } from "../../../../src/agent/job/types.ts";
import {
  AfterCondition,
  EndReason,
  type JobResult,
  type JobSpec,
  type JobSpecSchema,
  JobState,
  Outcome,
} from "../../../../src/gen/belay/v1/job_pb.ts";
import { eventually, isAlive } from "../facts.ts";
import { LOCAL_MODES, type LocalJob, start } from "../local.ts";

type Spec = Exclude<MessageInitShape<typeof JobSpecSchema>, JobSpec>;

const CANCEL: EndOrder = { reason: EndReason.CANCELED, message: "Canceled by the test" };
const STOP: EndOrder = { reason: EndReason.AGENT_STOPPED, message: "The agent was asked to stop" };

/** What became of each step: its exit code or signal, or why it did not run. */
function stepEnds({ after }: JobResult): string[] {
  return after.map((step) => {
    if (step.skipped) return "skipped";
    if (step.step === 0) return step.notRun;
    return `${step.exitCode ?? step.signal}${step.timedOut ? " timed out" : ""}`;
  });
}

async function printed(job: LocalJob, text: string): Promise<void> {
  await eventually(`"${text}" is printed`, () => job.stdout().includes(text));
}

/** A directory that a step removes. */
function temporary(): string {
  return mkdtempSync(join(tmpdir(), "belay-after-"));
}

describe.for(LOCAL_MODES)("Steps after the end, in a %s,", (containment) => {
  const run = (spec: Spec, stopBudget = 20_000): LocalJob => start(spec, { containment, stopBudget });

  describe.concurrent("know how the job ended:", () => {
    const env = { run: 'echo "$BELAY_OUTCOME,$BELAY_END_REASON,$BELAY_EXIT_CODE,$BELAY_SIGNAL,$BELAY_STEP,$OWN"' };
    const conditions = [
      { run: "echo always" },
      { run: "echo success", when: AfterCondition.SUCCESS },
      { run: "echo failure", when: AfterCondition.FAILURE },
      { run: "echo canceled", when: AfterCondition.CANCELED },
    ];
    const waiting = ["sh", "-c", "echo ready; exec sleep 1000"];
    it.for<[string, Spec, EndOrder | undefined, string]>([
      ["a success", { command: ["true"] }, undefined, "SUCCEEDED,EXITED,0,,2,x\nalways\nsuccess"],
      ["an exit code", { command: ["sh", "-c", "exit 3"] }, undefined, "FAILED,EXITED,3,,2,x\nalways\nfailure"],
      [
        "a signal",
        { command: ["sh", "-c", "kill -SEGV $$"] },
        undefined,
        "FAILED,SIGNALED,,SIGSEGV,2,x\nalways\nfailure",
      ],
      [
        "a setup step that failed",
        { setup: [{ run: "exit 7" }], command: ["true"] },
        undefined,
        "FAILED,SETUP_FAILED,7,,3,x\nalways\nfailure",
      ],
      [
        "a command that was not found",
        { command: ["no-such-program"] },
        undefined,
        "FAILED,SPAWN_FAILED,,,2,x\nalways\nfailure",
      ],
      [
        "a time-out",
        { command: ["sleep", "1000"], timeout: durationFromMs(100) },
        undefined,
        "FAILED,TIMED_OUT,,SIGTERM,2,x\nalways\nfailure",
      ],
      ["a cancel", { command: waiting }, CANCEL, "CANCELED,CANCELED,,SIGTERM,2,x\nalways\ncanceled"],
      ["a stop of the agent", { command: waiting }, STOP, "CANCELED,AGENT_STOPPED,,SIGTERM,2,x\nalways\ncanceled"],
    ])("%s", async ([, spec, order, expected], { expect }) => {
      const job = run({ ...spec, environment: { OWN: "x" }, after: [env, ...conditions] });
      if (order !== undefined) {
        await printed(job, "ready");
        job.job.end(order);
      }
      const result = await job.result;
      expect(job.stdout().toString().replace("ready\n", "")).toBe(`${expected}\n`);
      expect(stepEnds(result).filter((end) => end === "skipped")).toHaveLength(2);
    });
  });

  it("come after the command and what it left behind, one after the other, under numbers of their own", async ({
    expect,
  }) => {
    const output: string[] = [];
    const { result, events, notices } = start(
      {
        setup: [{ run: "echo setup" }],
        gracePeriod: durationFromMs(100),
        command: ["sh", "-c", "echo command; (trap '' TERM; sleep 1000) & exit 3"],
        after: [
          { name: "first", run: "echo $BELAY_STEP; setsid sleep 1000 & echo $! >&2; exit 4" },
          { run: "echo never", when: AfterCondition.SUCCESS },
          { run: "echo $BELAY_STEP" },
        ],
      },
      { containment, environment: { PATH: process.env["PATH"] } },
      { output: (_stream, step, data) => output.push(`${step}: ${Buffer.from(data).toString().trim()}`) > 0 },
    );
    const ended = await result;
    expect(events).toEqual([
      "SETTING_UP",
      "started 1",
      "ended 1",
      "RUNNING",
      "started 2",
      "ended 2",
      "started 3",
      "ended 3",
      "started 5",
      "ended 5",
    ]);
    const left = Number(output.find((line) => /^3: \d{2,}/.test(line))?.slice(3));
    expect(isAlive(left)).toBe(false);
    expect(output.filter((line) => line !== `3: ${left}`)).toEqual(["1: setup", "2: command", "3: 3", "5: 5"]);
    expect(notices.map((text) => text.replace(/\d+ process(es)? behind.*/, "… behind"))).toEqual([
      "Main command left … behind",
      'After-step 3 "first" left … behind',
      'After-step 3 "first" exited with code 4',
    ]);
    expect(ended).toMatchObject({ outcome: Outcome.FAILED, reason: EndReason.EXITED, exitCode: 3, step: 2 });
    expect(ended.after).toMatchObject([
      { name: "first", step: 3, exitCode: 4, message: 'After-step 3 "first" exited with code 4' },
      { name: "echo never", step: 0, skipped: true },
      { step: 5, exitCode: 0, message: "" },
    ]);
  });

  describe.concurrent("are bounded:", () => {
    it("one that hangs is ended at its timeout, and the next one runs", async ({ expect }) => {
      const job = run({
        command: ["true"],
        gracePeriod: durationFromMs(200),
        after: [
          { run: "trap '' TERM; echo hangs; while :; do sleep 1; done", timeout: durationFromMs(300) },
          { run: "trap 'exit 0' TERM; while :; do sleep 0.05; done", timeout: durationFromMs(300) },
          { run: "echo next" },
        ],
      });
      const ended = await job.result;
      expect(stepEnds(ended)).toEqual(["SIGKILL timed out", "0 timed out", "0"]);
      expect(ended.after[0]?.message).toMatch(/was ended by SIGKILL.*: it ran longer than its timeout of 300ms$/);
      expect(ended.after[1]?.message).toMatch(/exited with code 0: it ran longer than its timeout of 300ms$/);
      expect(job.stdout().toString()).toBe("hangs\nnext\n");
      expect(ended).toMatchObject({ outcome: Outcome.SUCCEEDED, exitCode: 0 });
    });

    it("one that only forks and one that floods are ended, and nothing is left of them", async ({ expect }) => {
      const job = run({
        command: ["true"],
        gracePeriod: durationFromMs(0),
        after: [
          { run: "while :; do (trap '' TERM; sleep 777) & sleep 0.01; done", timeout: durationFromMs(200) },
          { run: "yes flood", timeout: durationFromMs(200) },
          { run: "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c 'sleep 777' ; echo over" },
        ],
      });
      expect(stepEnds(await job.result)).toEqual(["SIGKILL timed out", "SIGKILL timed out", "0"]);
      expect(job.stdout().toString().split("\n").slice(-3)).toEqual(["1", "over", ""]);
    });

    it("one that cannot be started is named, and the next one runs", async ({ expect }) => {
      const job = run({
        command: ["true"],
        after: [{ run: "rm -rf $PWD" }, { run: ":" }],
        workingDirectory: temporary(),
      });
      const [first, second] = stepEnds(await job.result);
      expect(first).toBe("0");
      expect(second).toMatch(/^Cannot use the working directory/);
    });
  });

  describe.concurrent("when the job is canceled", () => {
    it("while they run, the outcome stands, the running one is ended, and the others do not run", async ({
      expect,
    }) => {
      const job = run({ command: ["true"], after: [{ run: "echo ready; exec sleep 1000" }, { run: "echo never" }] });
      await printed(job, "ready");
      job.job.end(CANCEL);
      const ended = await job.result;
      expect(ended).toMatchObject({ outcome: Outcome.SUCCEEDED, reason: EndReason.EXITED, exitCode: 0 });
      expect(stepEnds(ended)).toEqual(["SIGTERM", "The job was canceled while steps after its end ran"]);
      expect(job.stdout().toString()).toBe("ready\n");
      expect(job.events).toContain("CANCELING");
    });

    it("again, the second cancel shortens the grace period of the first", async ({ expect }) => {
      const job = run({
        command: ["true"],
        gracePeriod: durationFromMs(60_000),
        after: [{ run: "trap 'echo asked' TERM; echo ready; while :; do sleep 0.05; done" }],
      });
      await printed(job, "ready");
      job.job.end(CANCEL);
      await printed(job, "asked");
      job.job.end({ ...CANCEL, grace: 0 });
      expect(stepEnds(await job.result)).toEqual(["SIGKILL"]);
    });

    it("twice before its command has ended, they run: the second cancel concerns the command", async ({ expect }) => {
      const job = run({
        command: ["sh", "-c", "trap 'echo asked' TERM; echo ready; while :; do sleep 0.05; done"],
        gracePeriod: durationFromMs(60_000),
        after: [{ run: "echo cleaned up" }],
      });
      await printed(job, "ready");
      job.job.end(CANCEL);
      await printed(job, "asked");
      job.job.end({ ...CANCEL, grace: 0 });
      expect(stepEnds(await job.result)).toEqual(["0"]);
    });

    it("before its first step, none runs: there is nothing to clean up", async ({ expect }) => {
      const job = run({ command: ["true"], after: [{ run: "echo never" }] });
      job.job.end(CANCEL);
      const ended = await job.result;
      expect(ended).toMatchObject({ outcome: Outcome.CANCELED, step: 0 });
      expect(stepEnds(ended)).toEqual(["The job was ended before its first step started"]);
      expect(job.events).not.toContain("started 2");
    });
  });

  describe.concurrent("when the agent is stopped", () => {
    const slow = { run: "echo ready; exec sleep 1000" };

    it("have the stop budget, all of them together", async ({ expect }) => {
      const job = run(
        { command: ["sh", "-c", "echo up; exec sleep 1000"], after: [{ run: "sleep 0.3" }, slow, slow] },
        // Far more than the first step needs, even on a busy machine.
        4000,
      );
      await printed(job, "up");
      job.job.end(STOP);
      const ended = await job.result;
      const spent = "The agent was asked to stop, and its stop budget of 4.0s is used up";
      expect(stepEnds(ended)).toEqual(["0", "SIGTERM timed out", spent]);
      expect(ended.after[1]?.message).toBe(`After-step 3 "${slow.run}" was ended by SIGTERM: ${spent}`);
      expect(ended).toMatchObject({ outcome: Outcome.CANCELED, reason: EndReason.AGENT_STOPPED });
    });

    it("while they run, have the stop budget from then on, SIGKILL included", async ({ expect }) => {
      const job = run({ command: ["false"], after: [{ run: "trap '' TERM; echo ready; sleep 1000" }] }, 400);
      await printed(job, "ready");
      const begin = performance.now();
      job.job.end(STOP);
      const ended = await job.result;
      expect(performance.now() - begin).toBeGreaterThan(395);
      expect(stepEnds(ended)).toEqual(["SIGKILL timed out"]);
      expect(ended).toMatchObject({ outcome: Outcome.FAILED, reason: EndReason.EXITED, exitCode: 1 });
    });

    it("with a budget of 0, none runs", async ({ expect }) => {
      const job = run({ command: ["sh", "-c", "echo up; exec sleep 1000"], after: [slow] }, 0);
      await printed(job, "up");
      job.job.end(STOP);
      expect(stepEnds(await job.result)).toEqual(["The agent was asked to stop, and its stop budget is 0"]);
    });

    it("at once, the running one is killed, and the others do not run", async ({ expect }) => {
      const job = run({ command: ["true"], after: [{ run: "trap '' TERM; echo ready; sleep 1000" }, slow] });
      await printed(job, "ready");
      job.job.end(STOP);
      job.job.end({ ...STOP, grace: 0 });
      expect(stepEnds(await job.result)).toEqual(["SIGKILL", "The agent was asked to stop at once"]);
    });
  });

  describe.concurrent("of an attempt that another one has replaced", () => {
    const superseded: EndOrder = { reason: EndReason.SUPERSEDED, message: "Attempt 3 has the job", grace: 0 };

    it("do not run", async ({ expect }) => {
      const job = run({ command: ["sh", "-c", "echo up; exec sleep 1000"], after: [{ run: "echo never" }] });
      await printed(job, "up");
      job.job.end(superseded);
      expect(stepEnds(await job.result)).toEqual(["Another attempt has the job"]);
    });

    it("are killed", async ({ expect }) => {
      const job = run({ command: ["true"], after: [{ run: "echo ready; exec sleep 1000" }, { run: "echo never" }] });
      await printed(job, "ready");
      job.job.end(superseded);
      expect(stepEnds(await job.result)).toEqual(["SIGKILL", "Another attempt has the job"]);
    });
  });

  describe.concurrent("while they run", () => {
    it("go on without a tracker", async ({ expect }) => {
      const job = run({ command: ["true"], after: [{ run: "echo ready; sleep 0.2" }, { run: "echo two" }] });
      await printed(job, "ready");
      job.job.end({ reason: EndReason.DISCONNECTED, message: "The tracker was away for too long" });
      expect(stepEnds(await job.result)).toEqual(["0", "0"]);
      expect(job.events).not.toContain("CANCELING");
    });

    it("get signals, and are named by status and samples", async ({ expect }) => {
      const job = run({
        command: ["true"],
        after: [{ run: "trap 'echo got it; exit 6' USR1; echo ready; while :; do sleep 0.05; done" }],
      });
      await printed(job, "ready");
      expect(await job.job.status()).toMatchObject({ step: 2, state: JobState.RUNNING });
      expect((await job.job.sample())?.step).toBe(2);
      await job.job.signal("SIGUSR1");
      expect(stepEnds(await job.result)).toEqual(["6"]);
    });

    it("are paused with their time limit, and resumed", async ({ expect }) => {
      const go = join(temporary(), "go");
      const waits = `echo ready; until [ -e ${go} ]; do sleep 0.05; done`;
      const job = run({ command: ["true"], after: [{ run: waits, timeout: durationFromMs(1500) }] });
      await printed(job, "ready");
      await job.job.pause();
      writeFileSync(go, "");
      const paused = performance.now();
      await eventually("a pause longer than the time limit", () => performance.now() - paused > 1700);
      expect(job.job.state).toBe(JobState.PAUSED);
      await job.job.resume();
      const ended = await job.result;
      expect(stepEnds(ended)).toEqual(["0"]);
      expect(Number(ended.pausedDuration?.seconds)).toBeGreaterThanOrEqual(1);
      expect(job.events.filter((event) => /^[A-Z]/.test(event))).toEqual(["RUNNING", "PAUSED", "RUNNING"]);
    });

    it("are not held up by a pause that a cancel ends", async ({ expect }) => {
      const job = run({ command: ["true"], after: [{ run: "echo ready; exec sleep 1000" }, { run: "echo never" }] });
      await printed(job, "ready");
      await job.job.pause();
      job.job.end(CANCEL);
      expect(stepEnds(await job.result)).toEqual(["SIGTERM", "The job was canceled while steps after its end ran"]);
    });
  });

  it("leave the processes alone that the job may keep, and count what they use themselves", async ({ expect }) => {
    const job = run({
      command: ["sh", "-c", "setsid sleep 1000 > /dev/null 2>&1 & echo $!"],
      keepDescendants: true,
      gracePeriod: durationFromMs(100),
      after: [
        { run: "sleep 1000 & exec sleep 1000", timeout: durationFromMs(200) },
        { run: "exec perl -e '1 while (times)[0] < 0.2'" },
      ],
    });
    const ended = await job.result;
    const kept = Number.parseInt(job.stdout().toString(), 10);
    expect(isAlive(kept)).toBe(true);
    process.kill(kept, "SIGKILL");
    expect(stepEnds(ended)).toEqual(["SIGTERM timed out", "0"]);
    expect(ended.usage?.cpuSeconds).toBeGreaterThanOrEqual(0.2);
  });
});
