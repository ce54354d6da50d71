import { describe, expect, test } from "vitest";
import { runInProcess } from "../helpers/in-process.ts";
import { someSpec, testTracker } from "../helpers/tracker.ts";
import { ScriptedAgent } from "../../src/testing/index.ts";

const AT = 1_700_000_000_000_000_000n;
const SECOND = 1_000_000_000n;

/** A tracker with job "j", of which ten samples and ten records are known, 10 s apart. */
async function withMetrics(): Promise<{ address: string; agent: ScriptedAgent }> {
  const { address } = await testTracker();
  const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
  await agent.hello({ spec: someSpec });
  let sequence = 0n;
  for (let i = 0n; i < 10n; i++) {
    const time = AT + i * 10n * SECOND;
    const sample = { sampleUnixNano: time, cpuSeconds: Number(i), memoryBytes: (i + 1n) * 1024n, processes: 1 };
    agent.event({ case: "metricSample", value: { ...sample, exact: true } });
    const metrics = [
      { name: "loss", value: 10 - Number(i), step: Number(i) },
      { name: "val/acc", value: Number(i) / 10 },
      { name: "val.acc", value: 7 },
    ];
    const progress = { fraction: Number(i) / 20, note: `epoch ${i}`, readUnixNano: time };
    sequence = agent.event({ case: "jobMetrics", value: { readUnixNano: time, metrics, progress } });
  }
  await agent.acked(sequence, 0n);
  return { address, agent };
}

async function metrics(address: string, ...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const run = await runInProcess(["metrics", "--tracker", address, ...args]);
  return { ...run, stdout: Buffer.from(run.stdout, "latin1").toString("utf8") };
}

async function lines(address: string, ...args: string[]): Promise<string[]> {
  const { code, stdout, stderr } = await metrics(address, ...args);
  expect([code, stderr]).toEqual([0, ""]);
  return stdout.trimEnd().split("\n");
}

describe("belay metrics", () => {
  test("shows progress, what the job uses and what it says", async () => {
    const { address } = await withMetrics();
    const { stdout } = await metrics(address, "j");
    expect(stdout).toMatch(/^j {2}SETTING_UP {2}10 samples in 1m 30s\n\[#+-+\] {2}45 % {2}1m 50s left {2}epoch 9\n/);
    expect(stdout).toMatch(/^memory +10\.0 KiB +5\.5 KiB +10\.0 KiB /m);
    expect(stdout).toMatch(/^loss +1 +1 +10 {2}step 9 /m);
    expect(stdout).toMatch(/^val\/acc +0\.9 +0 +0\.9 /m);
  });

  test("--name leaves only some of the job's own; a star stands for anything, a point for itself", async () => {
    const { address } = await withMetrics();
    const shown = await lines(address, "--name", "val/*", "j");
    expect(shown.filter((line) => /^(loss|val|cpu|memory)/.test(line))).toEqual([expect.stringMatching(/^val\/acc /)]);
    expect(await lines(address, "--csv", "--name", "val.*", "--points", "1", "j")).toEqual([
      "time,name,value,step",
      "2023-11-14T22:14:50.000Z,val.acc,7,",
      "2023-11-14T22:14:50.000Z,val.acc,7,",
    ]);
  });

  test("--csv prints a row a sample; --since, --until and --points bound them", async () => {
    const { address } = await withMetrics();
    const all = await lines(address, "--csv", "j");
    expect(all).toHaveLength(11);
    expect(all[10]).toMatch(/^2023-11-14T22:14:50\.000Z,0,,9,,10240,,1,/);
    const range = ["--since", "2023-11-14T22:13:40Z", "--until", "2023-11-14T22:14:00Z"];
    expect((await lines(address, "--csv", ...range, "j")).map((line) => line.slice(0, 19))).toEqual([
      expect.stringMatching(/^time,/),
      "2023-11-14T22:13:40",
      "2023-11-14T22:13:50",
    ]);
    const [, , merged] = await lines(address, "--csv", "--points", "2", "j");
    expect(merged).toMatch(/,10240,,1,.*,true,5,2023-11-14T22:14:10\.000Z,/);
  });

  test("--json prints messages of the contract", async () => {
    const { address } = await withMetrics();
    const answers = (await lines(address, "--json", "j")).map((line) => JSON.parse(line) as Record<string, unknown[]>);
    expect(answers.flatMap(({ samples }) => samples ?? [])).toHaveLength(10);
    expect(answers.flatMap(({ jobMetrics }) => jobMetrics ?? [])[9]).toMatchObject({ progress: { fraction: 0.45 } });
  });

  test("--follow into a pipe appends a line for each sample and record, up to the job's end", async () => {
    const { address, agent } = await withMetrics();
    const following = metrics(address, "--follow", "j");
    agent.event({
      case: "jobMetrics",
      value: { readUnixNano: AT + 200n * SECOND, metrics: [{ name: "loss", value: 0.5, step: 99 }] },
    });
    agent.result();
    const { code, stdout } = await following;
    expect(code).toBe(0);
    expect(stdout).toMatch(/^2023-11-14T22:13:20\.000Z {2}cpu - cores \(0\.0 s\), memory 1\.0 KiB, 1 process$/m);
    expect(stdout).toMatch(/^2023-11-14T22:13:20\.000Z {2}progress 0 % {2}epoch 0$/m);
    expect(stdout).toMatch(/^2023-11-14T22:16:40\.000Z {2}loss=0\.5 step=99$/m);
  });

  test("of a job that has not begun says so", async () => {
    const { address, jobs } = await testTracker();
    await jobs.createJob({ jobId: "p", spec: someSpec });
    expect((await metrics(address, "p")).stdout).toBe("p  PENDING\n\nNo metrics yet.\n");
  });

  test.each<[string[], RegExp]>([
    [["--json", "--csv"], /Cannot use --json and --csv together/],
    [["--gpus"], /Cannot use --gpus without --csv/],
    [["--csv", "--gpus", "--name", "x"], /Cannot use --gpus and --name together/],
    [["--follow", "--until", "5m"], /Cannot use --follow and --until together/],
    [["--points", "many"], /Cannot use --points "many": expected a whole number/],
  ])("refuses %j", async (args, message) => {
    const { code, stderr } = await metrics("http://127.0.0.1:1", ...args, "j");
    expect(code).toBe(64);
    expect(stderr).toMatch(message);
  });

  test("--help teaches how a job says something, and what the columns are", async () => {
    const { stdout } = await metrics("http://127.0.0.1:1", "--help");
    expect(stdout).toContain(`echo "loss=0.31 acc=0.87 step=10" >> "$BELAY_METRICS"`);
    expect(stdout).toMatch(/^ {2}time step cpu_cores cpu_seconds /m);
    expect(stdout).toMatch(/^ {2}time name value step$/m);
  });

  test("of an attempt that does not exist is an error", async () => {
    const { address } = await withMetrics();
    const { code, stderr } = await metrics(address, "--attempt", "7", "j");
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/Job "j" has no attempt 7: the latest is 1/);
  });
});
