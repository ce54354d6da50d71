import { SignJWT } from "jose";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { createLogger } from "../../../src/base/logger.ts";
import { TokenGate } from "../../../src/tracker/net/caller.ts";
import { signToken, verifyToken } from "../../../src/tracker/net/signed-token.ts";
import { startTracker } from "../../../src/tracker/server.ts";
import { runInProcess } from "../../helpers/in-process.ts";
import { JobState } from "../../../src/gen/belay/v1/job_pb.ts";
import { ScriptedAgent, waitForJob } from "../../../src/testing/index.ts";
import { jobClient, someSpec, testDirectory, testTracker } from "../../helpers/tracker.ts";

const KEY = "0123456789abcdef0123456789abcdef";
const OTHER_KEY = "fedcba9876543210fedcba9876543210";
const tokens = { agent: ["agent-secret"], operator: ["operator-secret"], keys: [KEY] };
const UNAUTHENTICATED = 16;
const PERMISSION_DENIED = 7;

/** A token as another program would make it. */
function token(claims: Record<string, unknown>, key = KEY, alg = "HS256"): Promise<string> {
  const all = { iss: "belay", aud: "belay-agent", jti: "1", job: "mine", exp: Date.now() / 1000 + 60, ...claims };
  return new SignJWT(all).setProtectedHeader({ alg }).sign(Buffer.from(key));
}

async function refusal(address: string, jobId: string, shown: string): Promise<{ code: number; details: string }> {
  const agent = ScriptedAgent.connect({ url: address, jobId, token: shown });
  agent.sayHello({ spec: someSpec });
  return agent.ended;
}

describe("A signed token", () => {
  test("lets an agent run the job that it names, and no other; the session is recorded under its id", async () => {
    const { address } = await testTracker({ tokens });
    const signed = await signToken(KEY, "mine", 60_000);
    expect(
      (await ScriptedAgent.connect({ url: address, jobId: "mine", token: signed }).hello({ spec: someSpec })).attempt,
    ).toBe(1);
    const operator = jobClient(address, "operator-secret");
    await operator.createJob({ jobId: "other", spec: someSpec });
    for (const jobId of ["other", "unknown"]) {
      expect(await refusal(address, jobId, signed)).toMatchObject({
        code: PERMISSION_DENIED,
        details: `The token is for job "mine", not for "${jobId}"`,
      });
    }
    expect((await operator.getJob({ jobId: "other" })).job?.attempts).toEqual([]);
    expect((await operator.getJob({ jobId: "mine" })).job?.attempts[0]?.principal).toMatch(/^job-token-[0-9a-f]{16}$/);
  });

  test.each(["agent-secret", "signed"])("reads and controls nothing, not even its own job: %s", async (which) => {
    const { address } = await testTracker({ tokens });
    const shown = which === "signed" ? await signToken(KEY, "mine", 60_000) : which;
    await jobClient(address, "operator-secret").createJob({ jobId: "mine", spec: someSpec });
    const client = jobClient(address, shown);
    const jobId = "mine";
    const calls = [
      client.getJob({ jobId }),
      client.listJobs({}),
      client.createJob({ spec: someSpec }),
      client.cancelJob({ jobId }),
      client.signalJob({ jobId, signal: "SIGTERM" }),
      client.pauseJob({ jobId }),
      client.resumeJob({ jobId }),
      client.getJobStatus({ jobId }),
      client.deleteJob({ jobId }),
      ...[
        client.watchJobs({}),
        client.watchJob({ jobId }),
        client.readLogs({ jobId }),
        client.readMetrics({ jobId }),
      ].map((stream) => stream[Symbol.asyncIterator]().next()),
    ];
    for (const call of await Promise.allSettled(calls)) {
      expect(call).toMatchObject({ status: "rejected", reason: { code: PERMISSION_DENIED } });
    }
  });

  test("is refused when it has expired, was signed with another key, is for something else, or is unsigned", async () => {
    const { address } = await testTracker({ tokens });
    const [header, payload] = (await token({})).split(".");
    const none = Buffer.from('{"alg":"none"}').toString("base64url");
    const cases: [string, string][] = [
      [await token({ exp: Date.now() / 1000 - 60 }), "The token has expired"],
      [await token({}, OTHER_KEY), "The token is not known"],
      [await token({ aud: "somebody" }), "The token is not one for agents"],
      [await token({ exp: undefined }), "The token is not one for agents"],
      [await token({ job: undefined }), "The token is not one for agents"],
      [await token({ job: "../x" }), "The token names no job"],
      [await token({}, KEY.repeat(2), "HS512"), "The token is not known"],
      [`${none}.${payload}.`, "The token is not known"],
      [`${header}.${payload}.`, "The token is not known"],
    ];
    for (const [shown, details] of cases) {
      expect(await refusal(address, "mine", shown)).toMatchObject({ code: UNAUTHENTICATED, details });
    }
    expect(await verifyToken([OTHER_KEY, KEY], await token({}))).toEqual({ jobId: "mine", id: "1" });
  });

  test("needs a key that cannot be guessed", async () => {
    await expect(signToken("short", "j", 60_000)).rejects.toMatchObject({ code: "BAD_USAGE" });
    const dataDirectory = await testDirectory();
    const weak = { agent: [], operator: [], keys: ["short"] };
    await expect(startTracker({ listen: "127.0.0.1:0", dataDirectory, tokens: weak })).rejects.toMatchObject({
      code: "BAD_USAGE",
      message: expect.stringMatching(/a key of 5 bytes: expected 32 or more/) as unknown,
    });
  });

  test("is made by belay token, with the first key of a file", async () => {
    const file = join(await testDirectory(), "keys");
    await writeFile(file, `# since May\n${KEY}\n${OTHER_KEY}\n`);
    const { code, stdout } = await runInProcess(["token", "--token-keys", file, "mine"]);
    expect(code).toBe(0);
    expect(await verifyToken([KEY], stdout.trim())).toMatchObject({ jobId: "mine" });
    expect((await runInProcess(["token", "mine"])).code).toBe(64);
    expect((await runInProcess(["token", "--token-keys", file, "../x"])).code).toBe(64);
  });
});

test("Tokens that are replaced no longer count; the new ones do", () => {
  const gate = new TokenGate(tokens);
  expect(gate.isOperator("Bearer operator-secret")).toBe(true);
  gate.replace({ agent: [], operator: ["new"] });
  expect(gate.isOperator("Bearer operator-secret")).toBe(false);
  expect(gate.isOperator("Bearer new")).toBe(true);
});

test("No secret is in the tracker's log, nor in its answers about a job", async () => {
  let log = "";
  const logger = createLogger({ level: "trace", format: "json", write: (line) => void (log += line) });
  const { address, tracker } = await testTracker({ tokens, logger });
  const signed = await signToken(KEY, "mine", 60_000);
  for (const shown of [signed, "agent-secret", "a-wrong-secret", `${signed}x`]) {
    const agent = ScriptedAgent.connect({ url: address, jobId: "mine", token: shown });
    agent.sayHello({ spec: someSpec });
    await Promise.race([agent.next("welcome").catch(() => undefined), agent.ended]);
  }
  const { job } = await jobClient(address, "operator-secret").getJob({ jobId: "mine" });
  await tracker.close();
  await logger.flush();
  expect(log).toContain("Session opened");
  const reported =
    log + JSON.stringify(job, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value));
  for (const secret of [KEY, signed, signed.split(".")[2] ?? "", "agent-secret", "operator-secret", "a-wrong-secret"]) {
    expect(reported).not.toContain(secret);
  }
});

test("Credentials in a job's environment are for its agent alone; other callers see only that they exist", async () => {
  const { address, jobs } = await testTracker();
  const spec = {
    command: ["true"],
    environment: { API_TOKEN: "tok-123456", LANG: "C", MINE: "also-mine" },
    redactEnvironment: ["MINE"],
  };
  const { job } = await jobs.createJob({ jobId: "j", spec });
  const hidden = { API_TOKEN: "***", LANG: "C", MINE: "***" };
  expect(job?.spec?.environment).toEqual(hidden);
  expect((await jobs.listJobs({})).jobs[0]?.spec?.environment).toEqual(hidden);
  // To repeat the call is still safe: what is compared is what was given.
  expect((await jobs.createJob({ jobId: "j", spec })).job?.jobId).toBe("j");
  const welcome = await ScriptedAgent.connect({ url: address, jobId: "j" }).hello();
  expect(welcome.spec?.environment).toEqual(spec.environment);
});

test("A secret in the command that an agent brought is shown to no caller, and the next agent still runs it", async () => {
  const dataDirectory = await testDirectory();
  const options = { dataDirectory, heartbeatInterval: 20, lease: 60 };
  const first = await testTracker(options);
  const spec = { command: ["curl", "-H", "token: tok-123456"], labels: { team: "a" } };
  const shownSpec = { command: ["curl", "-H", "token: ***"], labels: { team: "a" } };
  const agent = ScriptedAgent.connect({ url: first.address, jobId: "j" });
  agent.sayHello({ spec, shownSpec });
  await agent.next("welcome");
  const { job } = await first.jobs.getJob({ jobId: "j" });
  expect(job).toMatchObject({ spec: shownSpec });
  expect(job?.shownSpec).toBeUndefined();
  agent.vanish();
  await first.tracker.close();

  const { address, jobs } = await testTracker(options);
  const lost = await waitForJob(jobs, "j", ({ state }) => state === JobState.LOST);
  expect(lost).toMatchObject({ spec: shownSpec });
  expect((await ScriptedAgent.connect({ url: address, jobId: "j" }).hello()).spec?.command).toEqual(spec.command);
  expect((await jobs.listJobs({})).jobs[0]).toMatchObject({ spec: shownSpec });
});
