import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { describe, expect, onTestFinished, test } from "vitest";
import { TrackerProcess, tempDirectory } from "../helpers/cli.ts";

const root = path.resolve(import.meta.dirname, "../..");
const belay = [process.execPath, path.join(root, "dist/cli/main.js")];
const run = promisify(execFile);

/** The environment without settings of Belay. */
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("BELAY_")));

describe("A platform that has only the contract submits a job, launches its agent, follows and cancels it", () => {
  test("in TypeScript, with the generated client", async () => {
    const tracker = await TrackerProcess.start();
    const program = path.join(root, "docs/platform/platform.ts");
    const { stdout } = await run(process.execPath, [program, tracker.url, ...belay], { env });
    const [one, two, three, ...states] = stdout.trimEnd().split("\n");
    expect([one, two, three]).toEqual(["line 1", "line 2", "line 3"]);
    expect(states.at(-2)).toBe("JOB_STATE_CANCELED");
    expect(states.at(-1)).toMatch(/^OUTCOME_CANCELED: .*seen enough/);
  });

  test("with curl", async () => {
    const tracker = await TrackerProcess.start();
    const program = path.join(root, "docs/platform/platform.sh");
    const { stdout } = await run("sh", [program, tracker.url, ...belay], { env });
    expect(stdout).toBe('ready\n"outcome":"OUTCOME_CANCELED"\n"state":"JOB_STATE_CANCELED"\n');
  });
});

const buf = path.join(root, "node_modules/.bin/buf");

describe("A developer with buf curl", () => {
  test.each([
    ["connect", []],
    ["grpc", ["--http2-prior-knowledge"]],
    ["grpcweb", []],
  ])("calls and follows a stream with a token, by the protocol %s", async (protocol, more) => {
    const directory = await tempDirectory();
    const tokens = path.join(directory, "tokens");
    await writeFile(tokens, "the-operators\n");
    const tracker = await TrackerProcess.start({ args: ["--operator-tokens", tokens] });
    const token = ["-H", "authorization: Bearer the-operators"];
    const common = ["curl", "--schema", path.join(root, "proto"), "--protocol", protocol, ...more];
    const curl = (method: string, message: object, flags: string[]): [string[], { env: NodeJS.ProcessEnv }] => [
      [...common, ...flags, "--data", JSON.stringify(message), `${tracker.url}/belay.v1.JobService/${method}`],
      { env: { ...env, HOME: directory, BUF_CACHE_DIR: directory } },
    ];

    await expect(run(buf, ...curl("GetJob", { jobId: "j" }, []))).rejects.toMatchObject({
      stderr: expect.stringContaining('"code": "unauthenticated"') as unknown,
    });
    const created = await run(buf, ...curl("CreateJob", { jobId: "j", spec: { command: ["true"] } }, token));
    expect(created.stdout).toContain('"state": "JOB_STATE_PENDING"');

    const watch = spawn(buf, ...curl("WatchJob", { jobId: "j" }, token));
    onTestFinished(() => void watch.kill("SIGKILL"));
    const closed = once(watch, "close");
    let seen = "";
    const pending = Promise.withResolvers<void>();
    watch.stdout.on("data", (data) => {
      seen += String(data);
      if (seen.includes("JOB_STATE_PENDING")) pending.resolve();
    });
    await pending.promise;
    await run(buf, ...curl("CancelJob", { jobId: "j", reason: "seen enough" }, token));
    expect(await closed).toEqual([0, null]);
    expect(seen).toContain("JOB_STATE_CANCELED");
  });
});
