import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, openSync, readSync } from "node:fs";
import path from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, describe, expect, it } from "vitest";
import { MAIN, NODE_PATH, tempDirectory, TrackerProcess } from "../helpers/cli.ts";
import { noTerminal } from "../helpers/terminal.ts";

/** Script of a job that prints 300,000 known lines at once, and then waits. */
const FLOOD = "seq 300000; sleep 60";
/** Longest time to an end that must not wait for a reader. Milliseconds. */
const SOON_MS = 8000;

const started = new Set<ChildProcess>();
const open = new Set<number>();

afterEach(() => {
  for (const child of started) child.kill("SIGKILL");
  for (const fd of open) closeSync(fd);
  started.clear();
  open.clear();
});

/** An agent whose output goes into a FIFO that is held open and not read. */
class Unread {
  readonly child: ChildProcess;
  readonly stderr: Promise<string>;
  private readonly fd: number;

  private constructor(child: ChildProcess, fd: number) {
    this.child = child;
    this.fd = fd;
    this.stderr = child.stderr === null ? Promise.resolve("") : text(child.stderr);
  }

  /** @param redirection of the shell, in which `$FIFO` stands for the FIFO */
  static async run(tracker: TrackerProcess, redirection: string, ...args: string[]): Promise<Unread> {
    const fifo = path.join(await tempDirectory(), "fifo");
    execFileSync("mkfifo", [fifo]);
    const fd = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
    open.add(fd);
    const script = `exec "$0" "$@" ${redirection.replaceAll("$FIFO", `"${fifo}"`)}`;
    const child = spawn("sh", ["-c", script, MAIN, "run", "--tracker", tracker.url, ...args], {
      env: { ...process.env, PATH: NODE_PATH },
      stdio: ["ignore", "ignore", "pipe"],
    });
    started.add(child);
    return new Unread(child, fd);
  }

  /** Its exit code. */
  async ended(): Promise<number | null> {
    if (this.child.exitCode === null) await once(this.child, "exit");
    return this.child.exitCode;
  }

  /** Reads bytes that are in the FIFO, and does not wait for more. */
  read(): string {
    const buffer = Buffer.alloc(1024 * 1024);
    try {
      return buffer.toString("latin1", 0, readSync(this.fd, buffer));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EAGAIN") return "";
      throw error;
    }
  }

  /** Reads until a number of bytes has been passed through. */
  async readAll(length: number): Promise<string> {
    let passed = "";
    const late = performance.now() + 15_000;
    while (passed.length < length && performance.now() < late) {
      passed += this.read();
      await new Promise((resolve) => setImmediate(resolve));
    }
    return passed;
  }
}

/** Waits until the job has filled all buffers on the way to the reader, and waits itself. */
async function untilBlocked(tracker: TrackerProcess, stream = "stdout"): Promise<void> {
  let before = -1;
  await expect
    .poll(
      async () => {
        const now = (await tracker.ends("logs", "--stream", stream, "j1")).stdout.length;
        // More than the FIFO holds.
        const blocked = now > 65_536 && now === before;
        before = now;
        return blocked;
      },
      { timeout: 20_000, interval: 300 },
    )
    .toBe(true);
}

/** Output of `seq 300000`. */
const SEQ = Array.from({ length: 300_000 }, (_, index) => `${index + 1}\n`).join("");

/** The log of a stream, which must be complete. */
async function wholeLog(tracker: TrackerProcess, stream = "stdout"): Promise<string> {
  const log = (await tracker.ends("logs", "--stream", stream, "j1")).stdout;
  expect(SEQ.startsWith(log)).toBe(true);
  const { attempts } = JSON.parse((await tracker.ends("show", "--json", "j1")).stdout);
  expect(attempts[0].logCompleteness).toBe("LOG_COMPLETENESS_COMPLETE");
  return log;
}

describe("A reader of the agent's output that stops reading", () => {
  it.each([
    ["a cancel", [], "CANCELED", 143],
    ["a time-out", ["--timeout", "3s"], "FAILED", 124],
    ["two signals to stop", [], "CANCELED", 137],
  ] as const)("does not delay %s; the bytes that it did not get are counted", async (what, flags, state, code) => {
    const tracker = await TrackerProcess.start();
    const trap = what === "two signals to stop" ? "trap '' TERM; " : "";
    const run = await Unread.run(tracker, "> $FIFO", "--job", "j1", ...flags, "--", "sh", "-c", `${trap}${FLOOD}`);
    await untilBlocked(tracker);
    const begin = performance.now();
    if (what === "a cancel") {
      expect((await tracker.ends("cancel", "--wait", "--grace", "1s", "j1")).stdout).toContain("no process left");
      // By then, the tracker has the result, and the log is not delayed either.
      expect((await tracker.ends("wait", "j1")).code).toBe(143);
    }
    if (what === "two signals to stop") {
      run.child.kill("SIGTERM");
      await expect.poll(async () => (await tracker.ends("jobs")).stdout).toContain("CANCELING");
      run.child.kill("SIGINT");
    }
    expect(await run.ended()).toBe(code);
    expect(performance.now() - begin).toBeLessThan(SOON_MS);
    expect((await tracker.ends("show", "j1")).stdout).toMatch(new RegExp(`^State +${state} `, "m"));
    const log = await wholeLog(tracker);
    const passed = run.read();
    expect(log.startsWith(passed)).toBe(true);
    const missing = `${log.length - passed.length} bytes of`;
    expect(await run.stderr).toContain(
      `belay: ${missing} standard output were not passed through: its reader does not read`,
    );
    const notes = (await tracker.ends("logs", "--stream", "agent", "j1")).stdout;
    expect(notes).toContain(`When the job had ended, ${missing} its standard output had not been passed through`);
  });

  it("does not delay the end of a job that meanwhile prints more than may wait for a reader", async () => {
    const tracker = await TrackerProcess.start();
    // The stop signal may also end the first process that the trap starts.
    const script =
      "trap 'sleep 0.1; sleep 0.1; sleep 0.1; seq 300000 >&2; head -c 9000000 /dev/zero; exit 3' TERM; echo ready; while :; do sleep 0.02; done";
    const run = await Unread.run(tracker, "> $FIFO 2>&1", "--job", "j1", "--", "sh", "-c", script);
    await expect.poll(async () => (await tracker.ends("logs", "j1")).stdout, { timeout: 10_000 }).toContain("ready");
    expect((await tracker.ends("cancel", "--wait", "j1")).stdout).toContain("no process left");
    expect(await run.ended()).toBe(3);
    expect((await tracker.ends("logs", "--stream", "stdout", "j1")).stdout.length).toBe(9_000_000 + "ready\n".length);
    // The shell may have printed "Terminated" for a sleep before.
    const errors = (await tracker.ends("logs", "--stream", "stderr", "j1")).stdout;
    expect(errors.endsWith(SEQ)).toBe(true);
  });

  it("of standard error, which also gets Belay's own lines, delays nothing", async () => {
    const tracker = await TrackerProcess.start();
    const run = await Unread.run(tracker, "2> $FIFO", "--job", "j1", "--", "sh", "-c", `(seq 300000; sleep 60) >&2`);
    await untilBlocked(tracker, "stderr");
    const begin = performance.now();
    await tracker.ends("cancel", "--wait", "--grace", "1s", "j1");
    expect(await run.ended()).toBe(143);
    expect(performance.now() - begin).toBeLessThan(SOON_MS);
    await wholeLog(tracker, "stderr");
  });

  it("does not delay the end of a setup step", async () => {
    const tracker = await TrackerProcess.start();
    const run = await Unread.run(tracker, "> $FIFO", "--job", "j1", "--setup", FLOOD, "--", "true");
    await untilBlocked(tracker);
    await tracker.ends("cancel", "--wait", "--grace", "1s", "j1");
    expect(await run.ended()).toBe(143);
    await wholeLog(tracker);
  });

  it("delays neither the result of a job that ends by itself nor the end of its processes; the agent waits for the reader", async () => {
    const tracker = await TrackerProcess.start();
    const script = "sleep 60 & seq 15000; exit 4";
    const run = await Unread.run(tracker, "> $FIFO", "--job", "j1", "--", "sh", "-c", script);
    await expect.poll(async () => (await tracker.ends("wait", "j1")).code, { timeout: 10_000 }).toBe(4);
    const log = await wholeLog(tracker);
    expect(log).toBe(SEQ.slice(0, SEQ.indexOf("15001\n")));
    // The output can still be read, because the agent still runs.
    const passed = await run.readAll(log.length);
    expect(passed).toBe(log);
    expect(await run.ended()).toBe(4);
    expect(await run.stderr).not.toContain("not passed through");
  });

  it("does not keep an agent that gets a stop signal after the job's end", async () => {
    const tracker = await TrackerProcess.start();
    const run = await Unread.run(tracker, "> $FIFO", "--job", "j1", "--", "seq", "15000");
    await expect.poll(async () => (await tracker.ends("wait", "j1")).code, { timeout: 10_000 }).toBe(0);
    const begin = performance.now();
    run.child.kill("SIGTERM");
    expect(await run.ended()).toBe(0);
    expect(performance.now() - begin).toBeLessThan(SOON_MS);
    const missing = (await wholeLog(tracker)).length - run.read().length;
    expect(await run.stderr).toContain(`belay: ${missing} bytes of standard output were not passed through`);
  });

  it("makes a running job wait, as in a shell's pipe, and gets everything when it goes on reading", async () => {
    const tracker = await TrackerProcess.start();
    const run = await Unread.run(tracker, "> $FIFO", "--job", "j1", "--", "seq", "300000");
    await untilBlocked(tracker);
    expect((await tracker.ends("jobs")).stdout).toContain("RUNNING");
    const passed = await run.readAll(SEQ.length);
    expect(passed === SEQ).toBe(true);
    expect(await run.ended()).toBe(0);
  });
});

/** Python script that runs a program at a terminal that is stopped, as by Ctrl-S, and prints how the program ended. */
const STOPPED_TERMINAL = `
import fcntl, os, sys, termios
terminal, inside = os.openpty()
pid = os.fork()
if pid == 0:
    os.setsid()
    fcntl.ioctl(inside, termios.TIOCSCTTY, 0)
    for descriptor in 0, 1, 2:
        os.dup2(inside, descriptor)
    os.execvp(sys.argv[1], sys.argv[1:])
os.close(inside)
print("pid", pid, flush=True)
_, status = os.waitpid(pid, 0)
print("ended", os.waitstatus_to_exitcode(status), flush=True)
`;

function atStoppedTerminal(...args: string[]): ChildProcess {
  const child = spawn("python3", ["-c", STOPPED_TERMINAL, MAIN, ...args], {
    env: { ...process.env, PATH: NODE_PATH },
    stdio: ["ignore", "pipe", "inherit"],
  });
  started.add(child);
  return child;
}

describe.skipIf(noTerminal)("A terminal that is stopped, as by Ctrl-S", () => {
  it("neither makes its agent LOST nor delays a cancel", async () => {
    const tracker = await TrackerProcess.start();
    const agent = atStoppedTerminal("run", "--tracker", tracker.url, "--job", "j1", "--", "sh", "-c", FLOOD);
    const output = text(agent.stdout ?? process.stdin);
    // The terminal turns each newline into two bytes.
    await expect
      .poll(async () => (await tracker.ends("logs", "--stream", "stdout", "j1")).stdout.length, { timeout: 20_000 })
      .toBeGreaterThan(60_000);
    const begin = performance.now();
    // The lease of 3 s would expire if the agent were blocked.
    await new Promise((resolve) => setTimeout(resolve, 4000));
    expect((await tracker.ends("jobs")).stdout).toContain("RUNNING");
    expect((await tracker.ends("cancel", "--wait", "--grace", "1s", "j1")).stdout).toContain("no process left");
    expect(await output).toMatch(/^ended 143$/m);
    expect(performance.now() - begin).toBeLessThan(4000 + SOON_MS);
    await wholeLog(tracker);
  });

  it("does not stop a tracker that logs to it, and that tracker stops in order", async () => {
    const data = await tempDirectory();
    const socket = path.join(data, "socket");
    const flags = ["--listen", `unix:${socket}`, "--data", path.join(data, "data"), "--log-level", "trace"];
    const tracker = atStoppedTerminal("tracker", ...flags);
    const output = text(tracker.stdout ?? process.stdin);
    const ask = async (): Promise<number | null> => {
      const jobs = spawn(MAIN, ["submit", "--tracker", `unix:${socket}`, "--", "x".repeat(100)], {
        env: { ...process.env, PATH: NODE_PATH },
        stdio: "ignore",
      });
      started.add(jobs);
      await once(jobs, "exit");
      return jobs.exitCode;
    };
    await expect.poll(ask, { timeout: 10_000 }).toBe(0);
    for (let round = 0; round < 4; round++) expect(await ask()).toBe(0);
    const children = execFileSync("pgrep", ["-P", String(tracker.pid)], { encoding: "utf8" });
    // Each ignored signal is logged: together more lines than a terminal buffers.
    for (let count = 0; count < 400; count++) {
      process.kill(Number(children), count % 2 === 0 ? "SIGUSR1" : "SIGUSR2");
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    expect(await ask()).toBe(0);
    process.kill(Number(children), "SIGTERM");
    expect(await output).toMatch(/^ended 0$/m);
  });
});

describe("A reader of belay logs -f that stops reading", () => {
  it("does not delay the job, its cancel or its log", async () => {
    const tracker = await TrackerProcess.start();
    const run = await Unread.run(tracker, "> /dev/null", "--job", "j1", "-q", "--", "sh", "-c", FLOOD);
    await expect
      .poll(async () => (await tracker.ends("logs", "--stream", "stdout", "j1")).stdout.length, { timeout: 10_000 })
      .toBe(SEQ.length);
    const logs = spawn(MAIN, ["logs", "-f", "--tracker", tracker.url, "j1"], {
      env: { ...process.env, PATH: NODE_PATH },
      stdio: ["ignore", "pipe", "inherit"],
    });
    started.add(logs);
    await once(logs.stdout, "readable");
    await tracker.ends("cancel", "--wait", "j1");
    expect(await run.ended()).toBe(143);
    expect((await wholeLog(tracker)) === SEQ).toBe(true);
    const followed = await text(logs.stdout);
    expect([followed.length, followed.startsWith(SEQ)]).toEqual([SEQ.length, true]);
  });
});
