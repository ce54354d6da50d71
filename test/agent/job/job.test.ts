import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { sleep } from "../../../src/base/clock.ts";
import { EndReason, FailureClass, JobState, Outcome } from "../../../src/gen/belay/v1/job_pb.ts";
import { eventually, isAlive } from "./facts.ts";
import { LOCAL_MODES, start } from "./local.ts";

const CANCEL = { reason: EndReason.CANCELED, message: "Canceled by the test" };

function seconds(s: number): { seconds: bigint; nanos: number } {
  return { seconds: BigInt(Math.floor(s)), nanos: Math.round((s % 1) * 1e9) };
}

describe.for(LOCAL_MODES)("A job held by a %s", (containment) => {
  it("runs its setup steps in order and then its command", async () => {
    const { result, events, stdout } = start(
      { setup: [{ run: "echo one" }, { name: "second", run: "echo two; echo three" }], command: ["echo", "four"] },
      { containment },
    );
    expect(await result).toMatchObject({
      outcome: Outcome.SUCCEEDED,
      reason: EndReason.EXITED,
      exitCode: 0,
      step: 3,
      failureClass: FailureClass.UNSPECIFIED,
    });
    expect(stdout().toString()).toBe("one\ntwo\nthree\nfour\n");
    expect(events).toEqual([
      "SETTING_UP",
      "started 1",
      "ended 1",
      "started 2",
      "ended 2",
      "RUNNING",
      "started 3",
      "ended 3",
    ]);
  });

  it("does not run its command when a setup step fails", async () => {
    const { result, stdout } = start({ setup: [{ run: "exit 3" }], command: ["echo", "never"] }, { containment });
    expect(await result).toMatchObject({
      outcome: Outcome.FAILED,
      reason: EndReason.SETUP_FAILED,
      failureClass: FailureClass.JOB,
      exitCode: 3,
      step: 1,
      message: 'Setup step 1 "exit 3" exited with code 3',
    });
    expect(stdout().toString()).toBe("");
  });

  it("reports exit codes and signals as they were", async () => {
    const code = await start({ command: ["sh", "-c", "exit 137"] }, { containment }).result;
    expect(code).toMatchObject({ reason: EndReason.EXITED, exitCode: 137, signal: "", outcome: Outcome.FAILED });
    const signal = await start({ command: ["sh", "-c", "kill -SEGV $$"] }, { containment }).result;
    expect(signal).toMatchObject({ reason: EndReason.SIGNALED, signal: "SIGSEGV", outcome: Outcome.FAILED });
    expect(signal.exitCode).toBeUndefined();
    const killed = await start({ command: ["sh", "-c", "kill -KILL $$"] }, { containment }).result;
    expect(killed).toMatchObject({ reason: EndReason.SIGNALED, signal: "SIGKILL" });
    expect(killed.message).toContain("which the agent did not send");
  });

  it("can open /dev/stdout and /dev/stderr by name", async () => {
    const { result, stdout, stderr } = start(
      { command: ["sh", "-c", "echo out > /dev/stdout; echo err > /dev/stderr; echo fd > /proc/self/fd/1"] },
      { containment },
    );
    expect(await result).toMatchObject({ outcome: Outcome.SUCCEEDED });
    expect(stdout().toString()).toBe("out\nfd\n");
    expect(stderr().toString()).toBe("err\n");
  });

  it("reads its stdin from /dev/null", async () => {
    const { result, stdout } = start({ command: ["sh", "-c", "cat; readlink /proc/self/fd/0"] }, { containment });
    await result;
    expect(stdout().toString()).toBe("/dev/null\n");
  });

  it("leads its process group and its session", async () => {
    const { result, stdout } = start({ command: ["cut", "-d ", "-f1,5,6", "/proc/self/stat"] }, { containment });
    await result;
    const [pid, group, session] = stdout().toString().trim().split(" ");
    expect([group, session]).toEqual([pid, pid]);
  });

  it("has no file descriptor but its three", async () => {
    const { result, stdout } = start({ command: ["ls", "/proc/self/fd"] }, { containment });
    await result;
    // What this process has inherited and must pass on shows in any child; the fourth is the directory being listed.
    expect(stdout().toString()).toBe(execFileSync("ls", ["/proc/self/fd"], { encoding: "utf8" }));
  });

  it("is killed before its agent when memory runs out", async () => {
    const own = Number(fs.readFileSync("/proc/self/oom_score_adj", "latin1"));
    const { result, stdout } = start({ command: ["cat", "/proc/self/oom_score_adj"] }, { containment });
    await result;
    expect(Number(stdout().toString())).toBeGreaterThan(own);
    expect(Number(fs.readFileSync("/proc/self/oom_score_adj", "latin1"))).toBe(own);
  });

  it("delivers 3 MB printed immediately before the exit, 200 times of 200", { timeout: 60_000 }, async () => {
    for (let round = 0; round < 200; round++) {
      let bytes = 0;
      const { result } = start(
        { command: ["head", "-c", "3000000", "/dev/zero"] },
        { containment },
        {
          output: (_stream, _step, data) => {
            bytes += data.length;
            return true;
          },
        },
      );
      await result;
      expect(bytes).toBe(3_000_000);
    }
  });

  it("waits while the output's reader is full, and loses nothing", async () => {
    let bytes = 0;
    let full = 0;
    const { result, job } = start(
      { command: ["sh", "-c", "head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2"] },
      { containment },
      {
        output: (_stream, _step, data) => {
          bytes += data.length;
          full += 1;
          return false;
        },
      },
    );
    const complete = (): boolean => bytes === 2_000_000;
    for (let seen = 0; !complete(); seen = full) {
      await eventually("the next piece", () => full > seen);
      await sleep(1);
      // One piece at a time and not one more.
      expect(full).toBe(seen + 1);
      if (seen === 3) {
        await sleep(50);
        const [main] = (await job.status()).processes;
        expect(main?.state).toBe("S");
      }
      job.resumeOutput();
    }
    expect(await result).toMatchObject({ outcome: Outcome.SUCCEEDED });
    expect(bytes).toBe(2_000_000);
  });

  it("does not wait for a background child that holds stdout", async () => {
    const began = performance.now();
    const { result, stdout, notices, job } = start(
      { command: ["sh", "-c", "sleep 1000 & echo before; exit 5"] },
      { containment },
    );
    const ended = await result;
    // 150 ms: it may settle for 100. A pipe that is held is given up after 5 s.
    expect(performance.now() - began).toBeLessThan(2000);
    expect(ended).toMatchObject({ outcome: Outcome.FAILED, reason: EndReason.EXITED, exitCode: 5 });
    expect(ended.evidence?.signals).toMatchObject([{ signal: "SIGTERM", processes: 1 }]);
    expect(ended.evidence?.outputCut).toBe(false);
    expect(stdout().toString()).toBe("before\n");
    expect(notices.join()).toMatch(/left 1 process behind, which the agent ends: \d+ sleep 1000/);
    expect(job.state).toBe(JobState.FAILED);
  });

  it("lets the reader of a pipeline finish after the main command has ended", async () => {
    const script = 'exec > >(while read -r line; do sleep 0.03; echo "got $line"; done); echo a; echo b; echo c';
    const { result, stdout } = start({ command: ["bash", "-c", script] }, { containment });
    const ended = await result;
    expect(stdout().toString()).toBe("got a\ngot b\ngot c\n");
    expect(ended.evidence).toBeUndefined();
  });

  it("keeps descendants if the spec asks for that, and does not wait for them", async () => {
    const began = performance.now();
    const { result, stdout } = start(
      { command: ["sh", "-c", "sleep 1000 & echo $!; exit 0"], keepDescendants: true },
      { containment },
    );
    const ended = await result;
    const pid = Number(stdout().toString());
    // 30 ms; the descendant sleeps for 1000 s.
    expect(performance.now() - began).toBeLessThan(1000);
    expect(ended.evidence).toBeUndefined();
    expect(isAlive(pid)).toBe(true);
    process.kill(pid, "SIGKILL");
  });

  it("keeps what a setup step started until the command has ended", async () => {
    const { result, stdout } = start(
      { setup: [{ run: "(sleep 0.2; echo late; exec sleep 1000) & echo $!" }], command: ["sh", "-c", "sleep 0.4"] },
      { containment },
    );
    await result;
    expect(stdout().toString()).toMatch(/^\d+\nlate\n$/);
    expect(isAlive(Number.parseInt(stdout().toString(), 10))).toBe(false);
  });

  it("is ended when its command takes too long", async () => {
    const { result, events } = start({ command: ["sleep", "1000"], timeout: seconds(0.1) }, { containment });
    expect(await result).toMatchObject({
      outcome: Outcome.FAILED,
      reason: EndReason.TIMED_OUT,
      signal: "SIGTERM",
      message: "Main command ran longer than its timeout of 100ms",
    });
    expect(events).toContain("CANCELING");
  });

  it("is ended when its setup takes too long, all steps together", async () => {
    const setup = [{ run: "sleep 0.1" }, { run: "sleep 0.1" }, { run: "sleep 1000" }];
    const { result, stdout } = start({ setup, command: ["echo"], setupTimeout: seconds(0.8) }, { containment });
    expect(await result).toMatchObject({ outcome: Outcome.FAILED, reason: EndReason.TIMED_OUT, step: 3 });
    expect(stdout().toString()).toBe("");
  });

  it("gets the stop signal that it asked for", async () => {
    const command = ["sh", "-c", "trap 'echo got INT; exit 7' INT; echo ready; while :; do sleep 0.05; done"];
    const { result, job, stdout } = start({ command, stopSignal: "INT" }, { containment });
    await eventually("ready", () => stdout().includes("ready"));
    job.end(CANCEL);
    const ended = await result;
    const failureClass = FailureClass.ORDERED;
    expect(ended).toMatchObject({ outcome: Outcome.CANCELED, reason: EndReason.CANCELED, exitCode: 7, failureClass });
    expect(stdout().toString()).toContain("got INT");
    expect(ended.evidence?.signals.map((round) => round.signal)).toEqual(["SIGINT"]);
  });

  it("is killed at once with no grace", async () => {
    const { result, job, stdout } = start(
      { command: ["sh", "-c", "trap 'echo no' TERM; echo ready; while :; do sleep 0.05; done"] },
      { containment },
    );
    await eventually("ready", () => stdout().includes("ready"));
    job.end({ ...CANCEL, grace: 0, commandId: "c1" });
    const ended = await result;
    expect(ended).toMatchObject({ signal: "SIGKILL", evidence: { commandId: "c1" } });
    expect(ended.evidence?.signals.map((round) => round.signal)).toEqual(["SIGKILL"]);
    expect(stdout().toString()).toBe("ready\n");
  });

  it("is counted as killed once, however long it takes to release its memory", async () => {
    const hog = "globalThis.held = Buffer.alloc(400e6, 1); console.log('ready'); setInterval(() => {}, 1e6)";
    const { result, job, stdout } = start({ command: [process.execPath, "-e", hog] }, { containment });
    await eventually("ready", () => stdout().includes("ready"));
    job.end({ ...CANCEL, grace: 0 });
    const { evidence } = await result;
    expect(evidence?.signals.map(({ signal, processes }) => [signal, processes])).toEqual([["SIGKILL", 1]]);
  });

  it("is ended sooner by a second order with a shorter grace period, which does not change the reason", async () => {
    const { result, job, stdout } = start(
      { command: ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"] },
      { containment },
    );
    await eventually("ready", () => stdout().includes("ready"));
    job.end({ ...CANCEL, grace: 60_000 });
    job.end({ reason: EndReason.AGENT_STOPPED, message: "Stopped", grace: 90_000 });
    await sleep(50);
    const asked = performance.now();
    job.end({ reason: EndReason.AGENT_STOPPED, message: "Stopped", grace: 50 });
    expect(await result).toMatchObject({ reason: EndReason.CANCELED, message: "Canceled by the test" });
    // 60 ms, of which 50 are the new grace period; the first one is a minute.
    expect(performance.now() - asked).toBeLessThan(1000);
  });

  it("runs nothing when it is canceled before the start", async () => {
    const { result, job, events, stdout } = start({ command: ["echo", "never"] }, { containment });
    job.end(CANCEL);
    const ended = await result;
    expect(ended).toMatchObject({ outcome: Outcome.CANCELED, reason: EndReason.CANCELED, step: 0 });
    expect(ended.usage).toBeUndefined();
    expect(events).toEqual(["CANCELING"]);
    expect(stdout().toString()).toBe("");
  });

  it("runs no further step when it is canceled during setup", async () => {
    const { result, job, stdout } = start(
      { setup: [{ run: "echo ready; sleep 1000" }, { run: "echo never" }], command: ["echo", "never"] },
      { containment },
    );
    await eventually("ready", () => stdout().includes("ready"));
    job.end(CANCEL);
    expect(await result).toMatchObject({ outcome: Outcome.CANCELED, reason: EndReason.CANCELED, step: 1 });
    expect(stdout().toString()).toBe("ready\n");
  });

  it("keeps its natural result when a cancel comes after the process has ended", async () => {
    const { result, job, stdout } = start({ command: ["sh", "-c", "echo $$; exit 9"] }, { containment });
    const pid = await eventually("pid", () => stdout().includes("\n") && Number(stdout()));
    // Blocks the event loop until the kernel knows of the end and Node does not.
    while (isAlive(pid));
    job.end(CANCEL);
    expect(await result).toMatchObject({ outcome: Outcome.FAILED, reason: EndReason.EXITED, exitCode: 9 });
    job.end(CANCEL);
    expect(job.state).toBe(JobState.FAILED);
  });

  it("can be paused and resumed, and reports for how long it was paused", async () => {
    const { result, job, stdout, events } = start(
      { command: ["sh", "-c", "while :; do echo tick; sleep 0.01; done"] },
      { containment },
    );
    await eventually("ticks", () => stdout().length > 10);
    await expect(job.resume()).rejects.toThrow('Cannot resume job "local": it is RUNNING');
    await job.pause();
    await sleep(20);
    const before = stdout().length;
    await sleep(100);
    expect(stdout().length).toBe(before);
    await expect(job.pause()).rejects.toThrow('Cannot pause job "local": it is PAUSED');
    await job.resume();
    await eventually("more ticks", () => stdout().length > before);
    job.end(CANCEL);
    const ended = await result;
    expect(durationMs(ended.pausedDuration ?? durationFromMs(0))).toBeGreaterThanOrEqual(100);
    expect(events).toEqual(["RUNNING", "started 1", "PAUSED", "RUNNING", "CANCELING", "ended 1"]);
  });

  it("can be canceled while it is paused, and may clean up", async () => {
    const { result, job, stdout } = start(
      { command: ["sh", "-c", "trap 'echo bye; exit 1' TERM; echo ready; while :; do sleep 0.01; done"] },
      { containment },
    );
    await eventually("ready", () => stdout().includes("ready"));
    await job.pause();
    job.end(CANCEL);
    expect(await result).toMatchObject({ outcome: Outcome.CANCELED, exitCode: 1 });
    expect(stdout().toString()).toBe("ready\nbye\n");
  });

  it("does not time out while it is paused", async () => {
    const { result, job, stdout } = start(
      { command: ["sh", "-c", "echo ready; sleep 0.2"], timeout: seconds(0.5) },
      { containment },
    );
    await eventually("ready", () => stdout().includes("ready"));
    await job.pause();
    await sleep(700);
    await job.resume();
    expect(await result).toMatchObject({ outcome: Outcome.SUCCEEDED });
  });

  it("accepts signals, and reports when one of them ended it", async () => {
    const { result, job, stdout } = start(
      { command: ["sh", "-c", "trap 'echo usr1' USR1; echo ready; while :; do sleep 0.01; done"] },
      { containment },
    );
    await eventually("ready", () => stdout().includes("ready"));
    await expect(job.signal("SIGNONE")).rejects.toThrow('Cannot use signal "SIGNONE"');
    expect(await job.signal("usr1")).toBeGreaterThanOrEqual(1);
    await eventually("usr1", () => stdout().includes("usr1"));
    await job.signal("KILL");
    expect(await result).toMatchObject({
      outcome: Outcome.FAILED,
      reason: EndReason.SIGNALED,
      message: "Main command was ended by SIGKILL, which a signal command had sent",
    });
    await expect(job.signal("TERM")).rejects.toThrow('Cannot signal job "local": it is FAILED');
  });

  it("reports its processes and what it uses", async () => {
    const { result, job, stdout } = start(
      { command: ["sh", "-c", "sleep 1000 & echo ready; while :; do :; done"] },
      { containment },
    );
    await eventually("ready", () => stdout().includes("ready"));
    const first = await job.sample();
    expect(first).toMatchObject({ step: 1, processes: 2, threads: 2 });
    expect(first?.cpuCores).toBeUndefined();
    await sleep(500);
    const second = await job.sample();
    // The machine may be busy with other things.
    expect(second?.cpuCores).toBeGreaterThan(0.05);
    expect(second?.cpuCores).toBeLessThan(1.3);
    expect(Number(second?.memoryBytes)).toBeGreaterThan(100_000);
    const status = await job.status();
    expect(status).toMatchObject({ state: JobState.RUNNING, step: 1, processCount: 2 });
    expect(status.processes.map((entry) => entry.command)).toContain("sleep 1000");
    job.end(CANCEL);
    const { usage } = await result;
    expect(usage?.cpuSeconds).toBeGreaterThan(0.05);
    expect(usage?.peakProcesses).toBe(2);
    expect(await job.sample()).toBeUndefined();
  });

  it("leaves no file descriptor, listener or timer in the agent", async () => {
    const count = (): number => fs.readdirSync("/proc/self/fd").length;
    await start({ setup: [{ run: "true" }], command: ["true"] }, { containment }).result;
    const before = count();
    const warnings: Error[] = [];
    const note = (warning: Error): void => void warnings.push(warning);
    process.on("warning", note);
    for (let round = 0; round < 20; round++) {
      const { result, job } = start({ setup: [{ run: "true" }], command: ["sleep", "1000"] }, { containment });
      await eventually("main", () => job.state === JobState.RUNNING);
      job.end(CANCEL);
      await result;
    }
    process.off("warning", note);
    await eventually("as many descriptors as before", () => count() <= before);
    expect(warnings).toEqual([]);
  });
});
