import { spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SYSTEM_PATH } from "../../../../../src/agent/job/start/environment.ts";
import { findNvidiaSmi } from "../../../../../src/agent/job/usage/gpu/find.ts";
import { gpuEnvironment } from "../../../../../src/agent/job/usage/gpu/gpu-source.ts";
import { GpuWatch } from "../../../../../src/agent/job/usage/gpu/gpu-watch.ts";
import { NvidiaSmi } from "../../../../../src/agent/job/usage/gpu/nvidia-smi.ts";
import type { Logger } from "../../../../../src/base/logger.ts";
import { seesMachinePids } from "../../../../../src/agent/job/tree/proc.ts";
import { H100_MIG, TWO_DEVICES, VERSION_MISMATCH } from "../../../../fixtures/nvidia-smi.ts";
import { eventually, processesWith } from "../../facts.ts";
import { LOCAL_MODES, start } from "../../local.ts";

const NVIDIA_SMI = fileURLToPath(new URL("../../../../../src/agent/job/usage/gpu/nvidia-smi.ts", import.meta.url));

let directory = "";
let environment: Record<string, string> = {};
/** Lines that were logged, with their level. */
let logged: string[] = [];
const logger = Object.fromEntries(
  ["debug", "info", "warn", "error"].map((level) => [level, (message: string) => logged.push(`${level} ${message}`)]),
) as unknown as Logger;

beforeEach(() => {
  logged = [];
  directory = fs.mkdtempSync(path.join(os.tmpdir(), "belay-gpu-"));
  environment = { PATH: `${directory}:${process.env["PATH"]}`, GPU_TEST_MARK: path.basename(directory) };
});
afterEach(() => {
  for (const line of leftovers()) process.kill(Number.parseInt(line, 10), "SIGKILL");
  fs.rmSync(directory, { recursive: true, force: true });
});

/** Puts an nvidia-smi on the PATH that is a shell script. Each call of it leaves a line in "calls". */
function nvidiaSmi(script: string): string {
  const file = path.join(directory, "nvidia-smi");
  // Replaced at once, not written to: it may be running.
  fs.writeFileSync(`${file}.new`, `#!/bin/sh\necho "$1" >> ${directory}/calls\n${script}\n`, { mode: 0o755 });
  fs.renameSync(`${file}.new`, file);
  return file;
}

/** One that answers with recorded text. */
function recorded(devices: string, apps: string): string {
  fs.writeFileSync(path.join(directory, "devices"), devices);
  fs.writeFileSync(path.join(directory, "apps"), apps);
  return nvidiaSmi(`case $1 in --query-gpu=*) cat ${directory}/devices ;; *) cat ${directory}/apps ;; esac`);
}

function calls(): number {
  const file = path.join(directory, "calls");
  return fs.existsSync(file) ? fs.readFileSync(file, "utf8").split("\n").length - 1 : 0;
}

function watch(file: string, times: { interval?: number; timeout?: number; retryInterval?: number } = {}): GpuWatch {
  return new GpuWatch({ file, environment, logger, interval: 5, longestPause: 50, ...times });
}

function isSleep(line: string): boolean {
  return /^\d+ sleep /.test(line);
}

/** Processes of queries that are still there. */
function leftovers(): string[] {
  return processesWith(`GPU_TEST_MARK=${environment["GPU_TEST_MARK"]}`);
}

describe("Graphics processors", () => {
  const memory = seesMachinePids()
    ? { title: "with the memory of the job's own processes", jobMemoryBytes: BigInt(2296 + 7484) << 20n }
    : { title: "without the job's memory: in a container, the driver's pids are not ours", jobMemoryBytes: undefined };
  it(`are read ${memory.title}`, async () => {
    const gpus = watch(recorded(H100_MIG.devices, H100_MIG.apps));
    const [sample] = await eventually(
      "a reading",
      () => gpus.latest([21180, 21198]).length > 0 && gpus.latest([21180, 21198]),
    );
    expect(sample).toMatchObject({
      index: 0,
      uuid: "GPU-00000000-0000-0000-0000-000000000000",
      name: "NVIDIA H100 80GB HBM3",
      memoryUsedBytes: 11125n << 20n,
      memoryTotalBytes: 81559n << 20n,
      temperatureCelsius: 53,
      powerWatts: 433.78,
    });
    expect(sample?.utilization).toBeUndefined();
    expect(sample?.jobMemoryBytes).toBe(memory.jobMemoryBytes);
    await gpus.close();
  });

  it("are not read again on a machine that has none", async () => {
    const gpus = watch(recorded("", ""));
    await eventually("a call", () => calls() === 1);
    await gpus.close();
    expect(calls()).toBe(1);
    expect(gpus.latest([])).toEqual([]);
    expect(logged).toEqual([]);
  });

  it("are read rarely after three failures, which are reported in one line", async () => {
    const gpus = watch(nvidiaSmi(`printf '%s' "${VERSION_MISMATCH}"; exit 18`), { interval: 1, retryInterval: 50 });
    await eventually("more than three calls", () => calls() > 5);
    expect(logged).toHaveLength(1);
    expect(logged[0]).toMatch(/^info Cannot read GPUs with "/);
    recorded(TWO_DEVICES, "");
    await eventually("they are read", () => gpus.latest([]).length === 2);
    nvidiaSmi("exit 3");
    await eventually("it is logged that they no longer are", () => logged.length === 2);
    expect(logged[1]).toMatch(/^warn Cannot read GPUs with "/);
    await gpus.close();
  });

  it("are left out of a sample when their last reading is too old", async () => {
    const gpus = watch(recorded(TWO_DEVICES, ""), { timeout: 200 });
    await eventually("a reading", () => gpus.latest([]).length === 2);
    nvidiaSmi("exec sleep 1000");
    await eventually("no reading", () => gpus.latest([]).length === 0);
    await gpus.close();
    expect(leftovers()).toEqual([]);
  });

  it("that disappear with nvidia-smi delay nothing", async () => {
    const file = recorded(TWO_DEVICES, "");
    const gpus = watch(file, { timeout: 200 });
    await eventually("a reading", () => gpus.latest([]).length === 2);
    fs.rmSync(file);
    await eventually("no reading", () => gpus.latest([]).length === 0);
    await eventually("a message about it", () => logged.length === 1);
    await gpus.close();
  });
});

describe("A query of nvidia-smi", () => {
  it.each([
    ["hangs", "exec sleep 1000"],
    ["hangs in a child", "sleep 1000; true"],
    ["has closed its output and hangs", "exec >&- 2>&-; sleep 1000"],
    ["ignores SIGTERM", "trap '' TERM; sleep 1000; sleep 1000"],
  ])("that %s is killed with all it started", async (_what, script) => {
    const smi = new NvidiaSmi(nvidiaSmi(script), environment, 300);
    await expect(smi.query("--query-gpu=name")).rejects.toThrow("no answer within 300 ms");
    await eventually("nothing is left", () => leftovers().length === 0);
    await smi.close();
  });

  it("that cannot be killed delays neither the reader nor the agent's end, and no other query starts", async () => {
    // As one that sleeps in the driver: out of reach, with its output open.
    const file = nvidiaSmi("exec setsid sleep 1000");
    const gpus = watch(file, { timeout: 100 });
    await eventually("it is given up and logged so", () => logged.length === 1);
    expect(calls()).toBe(1);
    const start = performance.now();
    await gpus.close();
    // Below 3 s: a killed query is given a second to end; this one sleeps for 1000 s.
    expect(performance.now() - start).toBeLessThan(8000);
    const smi = new NvidiaSmi(file, environment);
    const answer = smi.query("--query-gpu=name").catch((error: unknown) => error);
    await eventually("it is out of reach", () => calls() === 2 && leftovers().filter(isSleep).length === 2);
    await smi.close();
    expect(String(await answer)).toContain("the agent ends, and it cannot be killed");
  });

  it("whose output does not end is killed", async () => {
    const smi = new NvidiaSmi(nvidiaSmi("exec yes"), environment);
    await expect(smi.query("--query-gpu=name")).rejects.toThrow("its output does not end");
    expect(leftovers()).toEqual([]);
  });

  it("says why it failed", async () => {
    const smi = new NvidiaSmi(nvidiaSmi(`echo 'No devices were found'; exit 6`), environment);
    await expect(smi.query("--query-gpu=name")).rejects.toThrow("exit code 6: No devices were found");
  });

  it("is killed when the agent ends", async () => {
    const smi = new NvidiaSmi(nvidiaSmi("exec sleep 1000"), environment);
    const answer = smi.query("--query-gpu=name").catch((error: unknown) => error);
    await eventually("it runs", () => calls() === 1);
    await expect(smi.query("--query-gpu=uuid")).rejects.toThrow("an earlier query does not end");
    await smi.close();
    expect(await answer).toBeInstanceOf(Error);
    expect(leftovers()).toEqual([]);
  });
});

describe("A query that hangs", () => {
  it("does not outlive an agent that dies of kill -9", async () => {
    const file = nvidiaSmi("exec sleep 1000");
    const code = `const { NvidiaSmi } = await import(${JSON.stringify(NVIDIA_SMI)});
await new NvidiaSmi(${JSON.stringify(file)}, process.env).query("--query-gpu=name");`;
    const args = ["--no-warnings", "--input-type=module", "-e", code];
    const agent = spawn(process.execPath, args, { env: environment, stdio: "ignore" });
    await eventually("the query runs", () => calls() === 1);
    agent.kill("SIGKILL");
    await once(agent, "exit");
    await eventually("nothing is left", () => leftovers().length === 0);
  });
});

describe("nvidia-smi", () => {
  it("is found on a PATH", () => {
    const file = recorded("", "");
    fs.mkdirSync(path.join(directory, "first", "nvidia-smi"), { recursive: true });
    expect(findNvidiaSmi(`/nowhere::${directory}/first:${directory}`)).toBe(file);
    expect(findNvidiaSmi("/nowhere:")).toBeUndefined();
    fs.chmodSync(file, 0o644);
    expect(findNvidiaSmi(directory)).toBeUndefined();
  });

  it.each(LOCAL_MODES)(
    "fills a job's samples, and what it uses itself is not the job's, in a %s",
    async (containment) => {
      const burn = "my @t = times; 1 while (@t = times, $t[0] + $t[1] < 0.3);";
      recorded(TWO_DEVICES, "");
      nvidiaSmi(
        `perl -e '${burn}'; case $1 in --query-gpu=*) cat ${directory}/devices ;; *) cat ${directory}/apps ;; esac`,
      );
      const spec = { command: ["sleep", "1000"], metricsInterval: { seconds: 0n, nanos: 5_000_000 } };
      const { job, result } = start(spec, { containment, environment });
      const read = async (): Promise<boolean> => (await job.sample())?.gpus.length === 2;
      let there = false;
      await eventually("gpus in a sample", () => (there ? true : (void read().then((yes) => (there ||= yes)), false)));
      job.end({ reason: 7, message: "" });
      const { usage } = await result;
      expect(usage?.cpuSeconds).toBeLessThan(0.2);
      expect(leftovers().filter((line) => line.includes("nvidia-smi"))).toEqual([]);
    },
  );

  it("gets the variables that it needs to find the driver, and no secret of the agent", () => {
    const given = { PATH: "/bin", LD_LIBRARY_PATH: "/usr/local/nvidia/lib64", BELAY_TOKEN: "secret", HOME: "/root" };
    const path = { PATH: `/bin:${SYSTEM_PATH}` };
    expect(gpuEnvironment(given)).toEqual({ ...path, LD_LIBRARY_PATH: "/usr/local/nvidia/lib64" });
    expect(gpuEnvironment({ PATH: "/bin" })).toEqual(path);
  });

  it("is not even searched for when samples have no interval", async () => {
    recorded(TWO_DEVICES, "");
    const spec = { command: ["sleep", "0.2"], metricsInterval: { seconds: 0n, nanos: 0 } };
    await start(spec, { environment }).result;
    expect(calls()).toBe(0);
  });
});
