import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { LogStream } from "../../src/gen/belay/v1/job_pb.ts";
import type { LogChunkSchema } from "../../src/gen/belay/v1/tracker_service_pb.ts";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { main } from "../../src/cli/program.ts";
import { ScriptedAgent } from "../../src/testing/index.ts";
import { Readable } from "node:stream";
import { runInProcess } from "../helpers/in-process.ts";
import { someSpec, testDirectory, testTracker } from "../helpers/tracker.ts";
import { MemoryOutput } from "./memory-output.ts";

const NOON = Date.parse("2026-11-22T12:00:00.000Z");

/** A job with a log of two steps and two streams; read one second apart, from noon on. */
async function jobWithLog(): Promise<{
  address: string;
  logs: (...args: string[]) => ReturnType<typeof runInProcess>;
}> {
  const { address } = await testTracker();
  const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
  await agent.hello({ spec: someSpec });
  const offsets = new Map<LogStream, number>();
  let seconds = 0;
  const chunk = (text: string, stream: LogStream, step: number): MessageInitShape<typeof LogChunkSchema> => {
    const offset = offsets.get(stream) ?? 0;
    offsets.set(stream, offset + text.length);
    const readUnixNano = BigInt(NOON + 1000 * seconds++) * 1_000_000n;
    return { stream, step, offset: BigInt(offset), readUnixNano, content: { case: "data", value: Buffer.from(text) } };
  };
  agent.batch([chunk("setup\n", LogStream.STDOUT, 1)]);
  agent.batch([chunk("half a ", LogStream.STDOUT, 2), chunk("an error\n", LogStream.STDERR, 2)]);
  agent.batch([chunk("line\nlast, with no end", LogStream.STDOUT, 2)]);
  await agent.acked(0n, 3n);
  return { address, logs: (...args) => runInProcess(["logs", "--tracker", address, ...args, "j"]) };
}

describe("belay logs", () => {
  test("of a job's latest attempt says at a terminal that there are earlier ones, in a pipe nothing", async () => {
    const { address } = await testTracker();
    const spec = { ...someSpec, retry: { maxAttempts: 3 } };
    for (const attempt of [1, 2]) {
      const agent = ScriptedAgent.connect({ url: address, jobId: "again" });
      await agent.hello({ spec, takeOver: attempt > 1 });
      agent.batch([
        { stream: LogStream.STDOUT, step: 1, content: { case: "data", value: Buffer.from(`${attempt}\n`) } },
      ]);
      await agent.acked(0n, 1n);
    }
    const logs = async (isTerminal: boolean): Promise<{ stdout: string; stderr: string }> => {
      const [stdout, stderr] = [new MemoryOutput(), new MemoryOutput()];
      stderr.isTerminal = isTerminal;
      await main(["logs", "--tracker", address, "again"], { stdout, stderr, stdin: Readable.from([]), env: {} });
      return { stdout: stdout.text, stderr: stderr.text };
    };
    expect(await logs(true)).toEqual({
      stdout: "2\n",
      stderr: "belay: Attempt 2; --attempt 1 shows the earlier one\n",
    });
    expect(await logs(false)).toEqual({ stdout: "2\n", stderr: "" });
  });

  test("with --timestamps begins each line with the time of its first byte", async () => {
    const { logs } = await jobWithLog();
    expect((await logs("-t")).stdout).toBe(
      "2026-11-22T12:00:00.000Z setup\n" +
        "2026-11-22T12:00:02.000Z an error\n" +
        "2026-11-22T12:00:01.000Z half a line\n" +
        "2026-11-22T12:00:03.000Z last, with no end",
    );
  });

  test("with --grep prints the lines that match, whole, wherever they were cut", async () => {
    const { logs } = await jobWithLog();
    expect((await logs("--grep", "^half a line$|err")).stdout).toBe("an error\nhalf a line\n");
    expect((await logs("--grep", "no such")).stdout).toBe("");
  });

  test("with --step and --since begins and leaves out as asked", async () => {
    const { logs } = await jobWithLog();
    expect((await logs("--step", "1")).stdout).toBe("setup\n");
    expect((await logs("--since", "2026-11-22T12:00:02Z")).stdout).toBe("an error\nline\nlast, with no end");
    expect((await logs("--since", "0")).code).toBe(0);
  });

  test.each([
    [["--grep", "("], /Cannot use --grep "\(": expected a regular expression/],
    [["--since", "yesterday"], /Cannot parse --since "yesterday"/],
    [["--step", "0"], /Cannot use --step "0": expected the number of a step/],
    [["--since", "1m", "--tail", "3"], /Cannot use --tail and --since together/],
    [["--json", "-t"], /Cannot use --json with --grep or --timestamps/],
  ])("says what is wrong: %j", async (args, message) => {
    const { code, stderr } = await runInProcess(["logs", ...args, "j"]);
    expect(stderr).toMatch(message);
    expect(code).toBe(64);
  });
});

test("belay jobs --watch prints present jobs and each change, until its reader has gone", async () => {
  const { address } = await testTracker();
  const agent = ScriptedAgent.connect({ url: address, jobId: "one" });
  await agent.hello({ spec: someSpec });
  const stdout = new MemoryOutput();
  const io = { stdout, stderr: new MemoryOutput(), stdin: Readable.from([]), env: {} };
  const watch = main(["jobs", "--watch", "--tracker", address], io);
  await expect.poll(() => stdout.text).toMatch(/^\S+Z {2}one {2}SETTING_UP {2}some$/m);
  agent.state("RUNNING");
  await expect.poll(() => stdout.text).toMatch(/^\S+Z {2}one {2}RUNNING {2}some$/m);
  agent.result();
  await expect.poll(() => stdout.text).toMatch(/^\S+Z {2}one {2}SUCCEEDED {2}some$/m);
  stdout.leave();
  await ScriptedAgent.connect({ url: address, jobId: "two" }).hello({ spec: someSpec });
  expect((await watch).code).toBe(0);
});

describe("belay config", () => {
  test("keeps the tracker's address; a variable and a flag win over it", async () => {
    const { address } = await testTracker();
    const env = { BELAY_CONTEXT: join(await testDirectory(), "sub", "context.json") };
    expect(await runInProcess(["config", "set", "tracker", address], env)).toMatchObject({ code: 0, stdout: "" });
    expect((await runInProcess(["config", "show", "tracker"], env)).stdout).toBe(`${address}\n`);
    expect((await runInProcess(["jobs"], env)).stderr).toMatch(/No jobs yet/);
    const nowhere = { ...env, BELAY_TRACKER: "http://127.0.0.1:1" };
    expect((await runInProcess(["jobs", "--connect-timeout", "1ms"], nowhere)).code).toBe(125);
    expect((await runInProcess(["jobs", "--tracker", address], nowhere)).code).toBe(0);
    await runInProcess(["config", "unset", "tracker"], env);
    expect(JSON.parse(await readFile(env.BELAY_CONTEXT, "utf8"))).toEqual({});
  });

  test("keeps paths whole, and switches", async () => {
    const env = { BELAY_CONTEXT: join(await testDirectory(), "context.json") };
    await runInProcess(["config", "set", "token-file", "token"], env);
    await runInProcess(["config", "set", "insecure", "yes"], env);
    expect((await runInProcess(["config"], env)).stdout).toBe(
      `token-file ${join(process.cwd(), "token")}\ninsecure yes\n`,
    );
  });

  test.each([
    [["set", "trakcer", "x"], /Cannot save "trakcer": expected one of tracker, .*did you mean "tracker"/],
    [["set", "tracker", "nowhere"], /Cannot use tracker "nowhere": it has no scheme/],
    [["set", "insecure", "perhaps"], /Cannot use insecure "perhaps"/],
    [["set", "tracker"], /expected "set NAME VALUE"/],
  ])("says what is wrong: %j", async (args, message) => {
    const env = { BELAY_CONTEXT: join(await testDirectory(), "context.json") };
    const { code, stderr } = await runInProcess(["config", ...args], env);
    expect(stderr).toMatch(message);
    expect(code).toBe(64);
  });

  test("a file in another format is named", async () => {
    const env = { BELAY_CONTEXT: join(await testDirectory(), "context.json") };
    await writeFile(env.BELAY_CONTEXT, "tracker: x");
    expect(await runInProcess(["jobs"], env)).toMatchObject({
      code: 64,
      stderr: expect.stringMatching(/context\.json/) as unknown,
    });
  });
});
