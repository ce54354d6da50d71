import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import path from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { describe, expect, onTestFinished, test } from "vitest";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { fromJsonString } from "@bufbuild/protobuf";
import { EndReason, type Job, JobSchema, LogStream } from "../../src/gen/belay/v1/job_pb.ts";
import { type Cli, belay, tempDirectory, TrackerProcess } from "../helpers/cli.ts";
import { isAlive } from "../helpers/processes.ts";

const MAIN = path.resolve(import.meta.dirname, "../../dist/cli/main.js");
/** Lines that the job prints, of about 9 bytes each. `BELAY_FAULT_LINES=120000000` makes it a gigabyte. */
const LINES = Number(process.env["BELAY_FAULT_LINES"] ?? 20_000_000);
/** Time for which a tracker is stopped. Milliseconds. */
const STALL = Number(process.env["BELAY_FAULT_STALL"] ?? 5000);
/** Limit of the agent's memory, in bytes. The aim is 128 MB (`npm run bench -- memory`); a loaded one needs more. */
const MEMORY_BOUND = 145e6;

function sha256Of(command: string): string {
  return execFileSync("sh", ["-c", `${command} | sha256sum`], { encoding: "utf8" }).slice(0, 64);
}

function storedSha256(tracker: TrackerProcess, jobId: string): string {
  const logs = `"${process.execPath}" "${MAIN}" logs --tracker ${tracker.url} --stream stdout ${jobId}`;
  return sha256Of(logs);
}

async function showJson(tracker: TrackerProcess, jobId: string): Promise<Job> {
  return fromJsonString(JobSchema, (await tracker.ends("show", "--json", jobId)).stdout);
}

/** Passes bytes on to a port and cuts each connection after a random number of them. */
async function cuttingProxy(port: number): Promise<{ port: number; cuts: () => number }> {
  let cuts = 0;
  const open = new Set<Socket>();
  const server: Server = createServer((near) => {
    const far = connect(port, "127.0.0.1");
    let left = Math.floor(Math.random() * 30_000_000);
    const end = (): void => {
      near.destroy();
      far.destroy();
    };
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(from);
      from.on("close", () => open.delete(from));
      from.on("error", end);
      from.on("end", end);
      from.on("data", (data: Buffer) => {
        left -= data.length;
        if (left < 0) {
          cuts++;
          end();
        } else if (!to.write(data)) {
          from.pause();
          to.once("drain", () => from.resume());
        }
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.close();
    for (const socket of open) socket.destroy();
  });
  const address = server.address();
  return { port: typeof address === "object" ? (address?.port ?? 0) : 0, cuts: () => cuts };
}

test("a tracker that is killed every second, behind a network that cuts connections, has every byte of the log", {
  timeout: 240_000,
}, async () => {
  let tracker = await TrackerProcess.start();
  const port = Number(new URL(tracker.url).port);
  const proxy = await cuttingProxy(port);
  const through = ["--tracker", `http://127.0.0.1:${proxy.port}`];
  const run = belay(["run", ...through, "--quiet", "--job", "j1", "--", "seq", "1", String(LINES)]);
  let kills = 0;
  // The schedule of the fault, not a wait: the tracker is killed for at most a minute, and then the job may finish.
  for (const end = Date.now() + 60_000; run.child.exitCode === null && Date.now() < end; kills++) {
    await Promise.race([wait(1000), run.ended]);
    tracker = await tracker.killAndRestart();
  }
  expect(await run.ended, run.stderr).toBe(0);
  expect(kills).toBeGreaterThan(0);
  expect(proxy.cuts()).toBeGreaterThan(0);
  expect(storedSha256(tracker, "j1")).toBe(sha256Of(`seq 1 ${LINES}`));
  expect((await tracker.ends("show", "j1")).stdout).toMatch(/Log .*, complete/);
});

describe("a tracker that is stopped under a flood", () => {
  async function flood(...flags: string[]): Promise<{ tracker: TrackerProcess; run: Cli; peak: () => number }> {
    const tracker = await TrackerProcess.start();
    const quiet = ["--quiet", "--log-level", "error"];
    const run = tracker.belay("run", "--job", "j1", ...quiet, ...flags, "--", "cat", "/dev/zero");
    return { tracker, run, peak: () => Number(/VmHWM:\s+(\d+)/.exec(statusOf(run.pid))?.[1]) * 1024 };
  }

  test("does not make its agent use more memory; the job waits; a cancel takes effect when the tracker is back", {
    timeout: 90_000,
  }, async () => {
    const { tracker, run, peak } = await flood();
    await stored(tracker, 50_000_000n);
    process.kill(tracker.cli.pid, "SIGSTOP");
    await wait(STALL);
    expect(peak()).toBeLessThan(MEMORY_BOUND);
    const cancel = tracker.belay("cancel", "j1", "--reason", "enough");
    const back = Date.now();
    process.kill(tracker.cli.pid, "SIGCONT");
    await cancel.ended;
    await run.ended;
    const { result } = await showJson(tracker, "j1");
    expect(result?.reason).toBe(EndReason.CANCELED);
    const asked = result?.evidence?.askTime;
    // It takes 0.2 s; the bound is a fifth of the time for which the tracker was stopped.
    expect(asked === undefined ? Number.NaN : timestampMs(asked) - back).toBeLessThan(1000);
    expect((await tracker.ends("show", "j1")).stdout).toMatch(/Log .*, complete/);
  });

  test("does not either when the oldest output is dropped; the log has gaps for it", { timeout: 90_000 }, async () => {
    const { tracker, run, peak } = await flood("--on-spool-full", "drop");
    await stored(tracker, 50_000_000n);
    process.kill(tracker.cli.pid, "SIGSTOP");
    await wait(STALL);
    expect(peak()).toBeLessThan(MEMORY_BOUND);
    process.kill(tracker.cli.pid, "SIGCONT");
    run.child.kill("SIGTERM");
    await run.ended;
    const job = await showJson(tracker, "j1");
    const stdout = job.result?.streams[0];
    expect(stdout?.droppedBytes).toBeGreaterThan(0n);
    expect(job.attempts[0]?.stored[0]).toMatchObject({
      bytes: stdout?.bytes,
      droppedBytes: stdout?.droppedBytes,
      crc32: stdout?.crc32,
    });
  });

  test("does not keep SIGTERM to the agent from ending the job", { timeout: 60_000 }, async () => {
    const { tracker, run } = await flood("--flush-timeout", "1s");
    await stored(tracker, 50_000_000n);
    const job = Number((await tracker.ends("status", "j1")).stdout.match(/pid (\d+)/)?.[1]);
    expect(isAlive(job)).toBe(true);
    process.kill(tracker.cli.pid, "SIGSTOP");
    const asked = Date.now();
    run.child.kill("SIGTERM");
    while (isAlive(job)) await wait(5);
    // It takes 7 ms; a job that waited for room in the spool would not end before the tracker is back.
    expect(Date.now() - asked).toBeLessThan(1000);
    process.kill(tracker.cli.pid, "SIGCONT");
    await run.ended;
  });
});

test("a job of 100 MB whose tracker is away from its start to its end is delivered when it is back", {
  timeout: 90_000,
}, async () => {
  const tracker = await TrackerProcess.start();
  const spool = await tempDirectory();
  const lines = 12_000_000;
  const cwd = await tempDirectory();
  execFileSync("mkfifo", [`${cwd}/go`]);
  const script = `echo ready; : > ready; read -r _ < go; seq 1 ${lines}; : > over`;
  const flags = ["--quiet", "--job", "j1", "--spool-dir", spool, "--cwd", cwd];
  const run = tracker.belay("run", ...flags, "--", "sh", "-c", script);
  while (!existsSync(`${cwd}/ready`)) await wait(5);
  await tracker.cli.kill("SIGKILL");
  execFileSync("sh", ["-c", `echo go > ${cwd}/go`]);
  while (!existsSync(`${cwd}/over`)) await wait(5);
  const again = await TrackerProcess.start({ data: tracker.data, listen: new URL(tracker.url).host });
  expect(await run.ended, run.stderr).toBe(0);
  expect(storedSha256(again, "j1")).toBe(sha256Of(`(echo ready; seq 1 ${lines})`));
});

function statusOf(pid: number): string {
  return readFileSync(`/proc/${pid}/status`, "utf8");
}

/** Waits until the tracker has a number of bytes of the job's output. */
async function stored(tracker: TrackerProcess, bytes: bigint): Promise<void> {
  for (;;) {
    const shown = await tracker.ends("show", "--json", "j1");
    // At first the job does not exist.
    const job = shown.code === 0 ? fromJsonString(JobSchema, shown.stdout) : undefined;
    if ((job?.attempts[0]?.stored.find(({ stream }) => stream === LogStream.STDOUT)?.bytes ?? 0n) >= bytes) return;
  }
}
