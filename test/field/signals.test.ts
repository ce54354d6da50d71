import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, readdir, readlink } from "node:fs/promises";
import { constants } from "node:os";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { realTimeSignal } from "../../src/base/process/signals.ts";
import { EndReason, Outcome } from "../../src/gen/belay/v1/job_pb.ts";
import { start } from "../agent/job/local.ts";
import { belay, belayEnds, type Cli, MAIN, NODE_PATH, tempDirectory, TrackerProcess } from "../helpers/cli.ts";
import { isAlive } from "../helpers/processes.ts";

const noLinux = process.platform === "linux" ? undefined : "only Linux has 64 signals";

/** Signals that by default do not end a process: they are ignored, or stop it. */
const HARMLESS = new Set(["CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "WINCH"].map((name) => `SIG${name}`));
const NAMES = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name]));
/** Signals that end a process: the number and its names, any of which a result may have. */
const DEADLY: readonly (readonly [number, readonly string[]])[] = Array.from({ length: 64 }, (_, index) => index + 1)
  .filter((number) => !HARMLESS.has(NAMES.get(number) ?? ""))
  .map((number) => {
    const names = Object.entries(constants.signals).filter(([, known]) => known === number);
    return [number, [...names.map(([name]) => name), ...[realTimeSignal(number) ?? []].flat()]];
  });

describe.skipIf(noLinux !== undefined)("A process", () => {
  it("that a signal from 1 to 64 ends has failed by that signal, as command and as setup step", async () => {
    expect(DEADLY.length).toBe(56);
    for (const [number, names] of DEADLY) {
      const killItself = `kill -${number} $$; sleep 9`;
      const own = await start({ command: ["sh", "-c", killItself] }).result;
      expect.soft(own, `${number}`).toMatchObject({ outcome: Outcome.FAILED, reason: EndReason.SIGNALED });
      expect.soft(names, `${number}`).toContain(own.signal);
      expect.soft(own.exitCode).toBeUndefined();
      expect.soft(own.message).toContain(`was ended by ${own.signal}`);
      const setup = start({ setup: [{ run: killItself }], command: ["true"] });
      const step = await setup.result;
      expect.soft(step, `${number}`).toMatchObject({ outcome: Outcome.FAILED, reason: EndReason.SETUP_FAILED });
      expect.soft(step.signal).toBe(own.signal);
      expect.soft(setup.events).not.toContain("started 2");
    }
  });

  it("that dies of a real-time signal is recognised, also while more output waits than one read returns", async () => {
    const script = "head -c 60000 /dev/zero; kill -50 $$; sleep 9";
    const { result, stdout } = start({ command: ["sh", "-c", script] });
    expect(await result).toMatchObject({ reason: EndReason.SIGNALED, signal: "SIGRTMIN+16" });
    expect(stdout().length).toBe(60_000);
  });

  it("that exits with 0 after it has closed its output has succeeded", async () => {
    const { result } = start({ command: ["sh", "-c", "exec >&- 2>&-; sleep 0.05"] });
    expect(await result).toMatchObject({ outcome: Outcome.SUCCEEDED, exitCode: 0, signal: "" });
  });
});

describe.skipIf(noLinux !== undefined)("A real-time signal", () => {
  it("that ends a job gives 128 + n to the shell, and is shown by name", async () => {
    const tracker = await TrackerProcess.start();
    const run = await tracker.ends("run", "-q", "--job", "j1", "--", "sh", "-c", "kill -34 $$; sleep 9");
    expect(run.code).toBe(162);
    expect((await tracker.ends("wait", "j1")).code).toBe(162);
    expect((await tracker.ends("show", "j1")).stdout).toMatch(/^State +FAILED \(SIGRTMIN after /m);
    const setup = await tracker.ends("run", "-q", "--setup", "kill -64 $$; sleep 9", "--", "echo", "main");
    expect(setup).toMatchObject({ code: 192, stdout: "" });
    expect(setup.stderr).toContain("SETUP_FAILED, SIGRTMIN+30 after");
  });

  it("is sent to a job by its name, and can be its stop signal", async () => {
    const tracker = await TrackerProcess.start();
    const script = "trap 'echo got 36' 36; trap 'echo stops; exit 3' 37; echo ready; while :; do sleep 0.02; done";
    const run = tracker.belay("run", "--job", "j1", "--stop-signal", "RTMIN+3", "--", "sh", "-c", script);
    await run.says(/ready/);
    expect(await tracker.ends("signal", "j1", "rtmin+2")).toMatchObject({ code: 0, stderr: "" });
    await run.says(/got 36/);
    expect((await tracker.ends("cancel", "--wait", "j1")).stdout).toMatch(/SIGRTMIN\+3 sent to/);
    await run.says(/stops/);
    expect(await run.ended).toBe(3);
  });
});

/** Signals that count as warnings. */
const WARNINGS = ["USR1", "USR2", "ALRM", "VTALRM", "PROF", "XCPU", "URG", "IO", "PWR", "STKFLT"] as const;
const NAMES_OF_WARNINGS = WARNINGS.map((name) => `SIG${name}` as NodeJS.Signals);
/** A job that prints which of these it receives. */
const ECHOES = `${WARNINGS.map((name) => `trap 'echo got ${name}' ${constants.signals[`SIG${name}`]}`).join("; ")}; echo ready; while :; do sleep 0.02; done`;

describe("A signal that an agent receives", () => {
  it.each([
    ["SIGTERM", "PREEMPTED"],
    ["SIGINT", "ORDERED"],
    ["SIGHUP", "PREEMPTED"],
    ["SIGQUIT", "PREEMPTED"],
  ] as const)("%s ends the job in order, and the end is %s", async (signal, failureClass) => {
    const tracker = await TrackerProcess.start();
    const script = "trap 'echo bye; exit 9' TERM; echo ready; while :; do sleep 0.02; done";
    const run = tracker.belay("run", "--job", "j1", "--", "sh", "-c", script);
    await run.says(/ready/);
    expect(await run.kill(signal)).toBe(9);
    expect(run.stdout).toBe("ready\nbye\n");
    expect(JSON.parse((await tracker.ends("show", "--json", "j1")).stdout)).toMatchObject({
      state: "JOB_STATE_CANCELED",
      result: { reason: "END_REASON_AGENT_STOPPED", failureClass: `FAILURE_CLASS_${failureClass}` },
    });
  });

  it.each([
    [
      "a batch system or service manager that signals each process, the job's first",
      (job: number, agent: number) => [job, agent],
    ],
    ["the same, the agent first", (job: number, agent: number) => [agent, job]],
    [
      "a container's stop, or Ctrl-C in a terminal, which reach the agent only",
      (_job: number, agent: number) => [agent],
    ],
  ])("stops the job by %s, with the job's own exit code", async (_title, order) => {
    const tracker = await TrackerProcess.start();
    const script = "trap 'exit 3' TERM; echo $$; while :; do sleep 0.02; done";
    const run = tracker.belay("run", "--job", "j1", "--", "sh", "-c", script);
    await run.says(/^\d+$/m);
    const pids = order(Number(run.stdout), run.child.pid ?? 0);
    const kill = spawn("kill", ["-TERM", ...pids.map(String)], { stdio: "ignore" });
    expect(await run.ended).toBe(3);
    if (kill.exitCode === null) await once(kill, "exit");
    expect(JSON.parse((await tracker.ends("show", "--json", "j1")).stdout)).toMatchObject({
      state: "JOB_STATE_CANCELED",
      result: { reason: "END_REASON_AGENT_STOPPED", failureClass: "FAILURE_CLASS_PREEMPTED", exitCode: 3 },
    });
  });

  it("stops a setup step that the same signal ends before the agent has it", async () => {
    const tracker = await TrackerProcess.start();
    const run = tracker.belay("run", "--job", "j1", "--setup", "echo $$; exec sleep 1000", "--", "echo", "main");
    await run.says(/^\d+$/m);
    spawn("kill", ["-TERM", String(Number(run.stdout)), String(run.child.pid)], { stdio: "ignore" });
    expect(await run.ended).toBe(143);
    expect(JSON.parse((await tracker.ends("show", "--json", "j1")).stdout)).toMatchObject({
      state: "JOB_STATE_CANCELED",
      result: { reason: "END_REASON_AGENT_STOPPED", step: 1, signal: "SIGTERM" },
    });
  });

  it("warns the job first where it asks for that, and the log says so", async () => {
    const tracker = await TrackerProcess.start();
    const script = "trap 'echo saved; exit 4' USR2; echo ready; while :; do sleep 0.02; done";
    const run = tracker.belay("run", "--job", "j1", "--warn-signal", "usr2", "--", "sh", "-c", script);
    await run.says(/ready/);
    expect(await run.kill("SIGTERM")).toBe(4);
    expect(run.stdout).toBe("ready\nsaved\n");
    const log = await tracker.ends("logs", "--stream", "agent", "j1");
    expect(log.stdout).toContain("Warned with SIGUSR2: SIGTERM follows in 30.0s");
    const shown = await tracker.ends("show", "j1");
    expect(shown.stdout).toMatch(/end requested\n.*SIGUSR2 sent to/);
    expect(shown.stdout).not.toContain("SIGTERM sent");
  });

  it.skipIf(noLinux !== undefined)("is passed on to the job and noted in its log when it is a warning", async () => {
    const tracker = await TrackerProcess.start();
    const run = tracker.belay("run", "--job", "j1", "--", "sh", "-c", ECHOES);
    await run.says(/ready/);
    for (const name of WARNINGS) {
      run.child.kill(`SIG${name}` as NodeJS.Signals);
      await run.says(new RegExp(`^got ${name}$`, "m"));
    }
    expect((await tracker.ends("jobs")).stdout).toContain("RUNNING");
    await run.kill("SIGTERM");
    const notes = (await tracker.ends("logs", "--stream", "agent", "j1")).stdout;
    for (const name of NAMES_OF_WARNINGS) {
      expect(notes).toMatch(new RegExp(`The agent received ${name} and passed it on to \\d process`));
    }
  });

  it("ends the job with that signal when it is a warning for which the job does not listen", async () => {
    const tracker = await TrackerProcess.start();
    const run = tracker.belay("run", "--job", "j1", "--", "sh", "-c", "echo ready; exec sleep 60");
    await run.says(/ready/);
    expect(await run.kill("SIGUSR2")).toBe(128 + constants.signals.SIGUSR2);
    const shown = JSON.parse((await tracker.ends("show", "--json", "j1")).stdout);
    expect(shown).toMatchObject({ state: "JOB_STATE_FAILED", result: { reason: "END_REASON_SIGNALED" } });
    expect(shown.result.message).toBe("Main command was ended by SIGUSR2, which the agent had received and passed on");
  });

  it("harms nothing before there is a job", async () => {
    const run = belay(["run", "--tracker", "http://127.0.0.1:9", "--connect-timeout", "1s", "--", "true"]);
    while (!(await readFile(`/proc/${run.pid}/cmdline`, "utf8")).includes("main.js\0run")) await sleep(5);
    await untilListens(run, "SIGUSR2");
    for (const signal of NAMES_OF_WARNINGS) run.child.kill(signal);
    expect(await run.ended).toBe(125);
    expect(run.stderr).toContain("Cannot reach the tracker");
  });

  it.each([
    ["its own flag", (directory: string) => ({ nodeFlags: ["--cpu-prof", `--cpu-prof-dir=${directory}`] })],
    [
      "NODE_OPTIONS",
      (directory: string) => ({
        nodeFlags: ["--no-warnings"],
        env: { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${directory}` },
      }),
    ],
  ] as const)("is Node's own when it is SIGPROF and Node profiles the agent by %s", async (_, options) => {
    const tracker = await TrackerProcess.start();
    const directory = await tempDirectory();
    const args = ["run", "--tracker", tracker.url, "--", "sh", "-c", "echo profiled"];
    const run = await belayEnds(args, options(directory));
    expect(run).toMatchObject({ code: 0, stdout: "profiled\n" });
    expect(await readdir(directory)).toEqual([expect.stringMatching(/\.cpuprofile$/)]);
  });

  it.skipIf(noLinux !== undefined)("goes on to the job when it is SIGPROF and only the job is profiled", async () => {
    const tracker = await TrackerProcess.start();
    const args = ["run", "--tracker", tracker.url, "--", "sh", "-c", ECHOES];
    const run = belay(args, { env: { NODE_OPTIONS: "--cpu-prof" } });
    await run.says(/ready/);
    run.child.kill("SIGPROF");
    await run.says(/^got PROF$/m);
    await run.kill("SIGTERM");
  });

  it("makes the agent leave at once when it is the third stop signal, and the spool is kept", async () => {
    const tracker = await TrackerProcess.start();
    const spool = await tempDirectory();
    const flags = ["--job", "j1", "--spool-dir", spool, "--", "sh", "-c", "seq 20000; echo $$ ready; exec sleep 60"];
    const run = tracker.belay("run", ...flags);
    const [, pid] = await run.says(/^(\d+) ready$/m);
    tracker.cli.child.kill("SIGSTOP");
    run.child.kill("SIGTERM");
    await expect.poll(() => isAlive(Number(pid)), { timeout: 10_000 }).toBe(false);
    const begin = performance.now();
    run.child.kill("SIGINT");
    run.child.kill("SIGHUP");
    expect(await run.ended).toBe(125);
    // It takes a fraction of a second; without the third signal it would take 10 s.
    expect(performance.now() - begin).toBeLessThan(5000);
    expect(run.stderr).toContain(`is kept; deliver it later with: belay flush ${spool}\n`);
    tracker.cli.child.kill("SIGCONT");
    expect((await tracker.ends("flush", spool)).stdout).toMatch(/^Delivered {2}job j1, attempt 1/);
    const log = await tracker.ends("logs", "--stream", "stdout", "j1");
    expect(log.stdout).toMatch(/^20000\n\d+ ready\n$/m);
  });
});

/** Signals, as bits, of a line in `/proc/PID/status`. */
async function signalsOf(pid: number, line: string): Promise<bigint> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return BigInt(`0x${new RegExp(`^${line}:\\s+(\\w+)$`, "m").exec(status)?.[1] ?? "0"}`);
}

/** Waits until a process listens for a signal. */
async function untilListens({ pid }: Cli, signal: NodeJS.Signals): Promise<void> {
  const bit = 1n << BigInt(constants.signals[signal] - 1);
  await expect.poll(async () => (await signalsOf(pid, "SigCgt")) & bit, { timeout: 10_000 }).toBe(bit);
}

describe("A signal that was ignored when an agent was started stays ignored", () => {
  it.each([
    ["SIGHUP", "under nohup", 'exec nohup "$@"'],
    ["SIGHUP", "by a trap", `trap '' HUP; "$@"`],
    ["SIGINT", "in the background of a script", '"$@" & wait'],
    ["SIGQUIT", "in the background of a script", '"$@" & wait'],
    ["SIGUSR2", "by a trap", `trap '' USR2; exec "$@"`],
    ["SIGTERM", "by a trap", `trap '' TERM; exec "$@"`],
  ] as const)("%s %s", async (signal, _, script) => {
    const tracker = await TrackerProcess.start();
    const job = "trap 'echo got 10' USR1; trap 'echo got 12' USR2; echo ready $PPID; while :; do sleep 0.02; done";
    const args = [MAIN, "run", "--job", "j1", "--tracker", tracker.url, "--", "sh", "-c", job];
    const child = spawn("sh", ["-c", script, "sh", ...args], {
      env: { ...process.env, PATH: NODE_PATH },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const output = text(child.stdout);
    await expect.poll(async () => (await tracker.ends("logs", "j1")).stdout, { timeout: 10_000 }).toMatch(/ready/);
    const agent = Number(/ready (\d+)/.exec((await tracker.ends("logs", "j1")).stdout)?.[1]);
    process.kill(agent, signal);
    // This signal is sent after the ignored one, and is passed on.
    process.kill(agent, "SIGUSR1");
    await expect.poll(async () => (await tracker.ends("logs", "j1")).stdout, { timeout: 10_000 }).toMatch(/got 10/);
    expect((await tracker.ends("jobs")).stdout).toContain("RUNNING");
    await tracker.ends("cancel", "--wait", "j1");
    if (child.exitCode === null) await once(child, "exit");
    expect(await output).not.toContain("got 12");
  });
});

/** Ports on which a process listens. */
async function listeningPorts(pid: number): Promise<number[]> {
  const names = await readdir(`/proc/${pid}/fd`).catch(() => []);
  const links = await Promise.all(names.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => "")));
  const own = new Set(links.map((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1]));
  const tables = await Promise.all(["tcp", "tcp6"].map((name) => readFile(`/proc/${pid}/net/${name}`, "utf8")));
  const rows = tables.flatMap((table) => table.trim().split("\n").slice(1)).map((line) => line.trim().split(/\s+/));
  // 0A: it listens.
  const listens = rows.filter((row) => row[3] === "0A" && own.has(row[9]));
  return listens.map((row) => Number.parseInt(row[1]?.split(":")[1] ?? "", 16));
}

describe.skipIf(noLinux !== undefined)("No signal and no variable opens a debugger", () => {
  it.each([
    ["of an agent", ["run", "--job", "j2", "--", "sleep", "60"]],
    ["of a command", ["logs", "-f", "j1"]],
  ])("%s", async (_, args) => {
    const tracker = await TrackerProcess.start();
    await tracker.ends("submit", "--job", "j1", "--", "true");
    const [command = "", ...rest] = args;
    const cli = belay([command, "--tracker", tracker.url, ...rest], { env: { NODE_OPTIONS: "--inspect=127.0.0.1:0" } });
    await untilListens(cli, "SIGUSR1");
    cli.child.kill("SIGUSR1");
    // Node's debugger opens within a few milliseconds.
    await sleep(200);
    expect(await listeningPorts(cli.pid)).toEqual([]);
    expect(cli.stderr).not.toContain("Debugger");
  });

  it("of a tracker, which says that it ignores warnings, goes on, and drains on SIGQUIT", async () => {
    const tracker = await TrackerProcess.start({ args: ["--log-level", "info"] });
    for (const signal of NAMES_OF_WARNINGS) {
      tracker.cli.child.kill(signal);
      await tracker.cli.says(new RegExp(`Ignored ${signal}: `));
    }
    expect(await listeningPorts(tracker.cli.pid)).toEqual([Number(new URL(tracker.url).port)]);
    expect((await tracker.ends("jobs")).code).toBe(0);
    expect(await tracker.cli.kill("SIGQUIT")).toBe(0);
    expect(tracker.cli.stderr).toContain("SIGQUIT: stopping");
  });

  it("of a program that has only just been started", async () => {
    for (const delay of [15, 30, 45, 60]) {
      const tracker = belay(["tracker", "--listen", "127.0.0.1:0", "--data", await tempDirectory()]);
      await sleep(delay);
      tracker.child.kill("SIGUSR1");
      // Before Node has installed its handlers, the kernel's default ends any program.
      if ((await Promise.race([tracker.ended, tracker.says(/^listening on /m)])) === "SIGUSR1") continue;
      await sleep(200);
      expect(await listeningPorts(tracker.pid)).not.toContain(9229);
      await tracker.kill("SIGKILL");
    }
  });
});
