import { DatabaseSync } from "node:sqlite";
import { describe, expect, test, vi } from "vitest";
import { createLogger } from "../../src/base/logger.ts";
import { CommandState } from "../../src/gen/belay/v1/job_pb.ts";
import { ScriptedAgent } from "../../src/testing/index.ts";
import { numbersOf } from "../helpers/metrics-page.ts";
import { someSpec, testTracker } from "../helpers/tracker.ts";

async function page(address: string, path: string, headers: Record<string, string> = {}): Promise<[number, string]> {
  const answer = await fetch(`${address}${path}`, { headers });
  return [answer.status, (await answer.text()).trimEnd()];
}

describe("/readyz", () => {
  test("is ok while the store can be written, and gives the reason when it cannot; /healthz stays ok", async () => {
    const { address } = await testTracker();
    expect(await page(address, "/readyz")).toEqual([200, "ok"]);
    const broken = vi.spyOn(DatabaseSync.prototype, "exec").mockImplementation(() => {
      throw new Error("database or disk is full");
    });
    expect(await page(address, "/readyz")).toEqual([503, "the store cannot be written: database or disk is full"]);
    expect(await page(address, "/healthz")).toEqual([200, "ok"]);
    broken.mockRestore();
    expect(await page(address, "/readyz")).toEqual([200, "ok"]);
  });

  test("reports that the event loop was blocked", async () => {
    const { address } = await testTracker();
    // More than once, since Node has to have looked at the loop before.
    const stall = (): Promise<[number, string]> => {
      const until = performance.now() + 2_300;
      while (performance.now() < until);
      return page(address, "/readyz");
    };
    await expect
      .poll(stall, { timeout: 15_000 })
      .toEqual([503, expect.stringMatching(/^the event loop was blocked for \d{4,} ms$/) as unknown]);
  });
});

describe("/metrics", () => {
  test("has sessions, bytes, lag, command latency, calls by code and store latency", async () => {
    const { address, jobs } = await testTracker();
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    agent.state("RUNNING");
    agent.print("0123456789");
    await agent.acked(1n, 1n);
    await jobs.pauseJob({ jobId: "j" });
    const command = await agent.next("command");
    for (const state of [CommandState.RECEIVED, CommandState.COMPLETED]) {
      agent.event({ case: "commandUpdate", value: { commandId: command.commandId, state } });
    }
    await agent.acked(3n, 1n);
    await expect(jobs.getJob({ jobId: "none" })).rejects.toThrow();
    const [status, text] = await page(address, "/metrics");
    expect(status).toBe(200);
    const found = numbersOf(text);
    expect(Object.fromEntries(found)).toMatchObject({
      belay_sessions: 1,
      'belay_jobs{state="running"}': 1,
      // Header of the record and of its chunk, and the bytes.
      belay_log_bytes_total: 32 + 40 + 10,
      belay_log_commit_lag_seconds_count: 1,
      belay_log_write_seconds_count: 1,
      belay_command_received_seconds_count: 1,
      belay_command_done_seconds_count: 1,
      'belay_calls_total{method="PauseJob",code="ok"}': 1,
      'belay_calls_total{method="GetJob",code="not_found"}': 1,
      belay_store_failures_total: 0,
    });
    expect(found.get("belay_store_commit_seconds_count")).toBeGreaterThan(0);
    expect(found.get("belay_connections")).toBeGreaterThanOrEqual(2);
    expect(found.get("process_resident_memory_bytes")).toBeGreaterThan(1e7);
    agent.sayHello();
    await agent.ended;
    await expect
      .poll(async () =>
        numbersOf((await page(address, "/metrics"))[1]).get(
          'belay_calls_total{method="OpenSession",code="invalid_argument"}',
        ),
      )
      .toBe(1);
  });

  test("wants an operator's token where tokens are asked for; /healthz and /readyz do not", async () => {
    const { address } = await testTracker({ tokens: { agent: ["a"], operator: ["o"] } });
    expect((await page(address, "/metrics"))[0]).toBe(401);
    expect((await page(address, "/metrics", { authorization: "Bearer a" }))[0]).toBe(401);
    expect((await page(address, "/metrics", { authorization: "Bearer o" }))[0]).toBe(200);
    expect((await page(address, "/readyz"))[0]).toBe(200);
    const refused = await fetch(`${address}/belay.v1.JobService/ListJobs`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: "{}",
    });
    expect(refused.status).toBe(401);
    const [, text] = await page(address, "/metrics", { authorization: "Bearer o" });
    expect(numbersOf(text).get('belay_calls_total{method="ListJobs",code="unauthenticated"}')).toBe(1);
  });
});

describe("A browser", () => {
  const ask = (address: string, origin: string): Promise<Response> =>
    fetch(`${address}/belay.v1.JobService/ListJobs`, {
      method: "OPTIONS",
      headers: { origin, "access-control-request-method": "POST", "access-control-request-headers": "content-type" },
    });

  test("may call from the origins that were named, and from no other", async () => {
    const { address } = await testTracker({ cors: ["https://ci.example.org"] });
    const good = await ask(address, "https://ci.example.org");
    expect(good.status).toBe(204);
    expect(good.headers.get("access-control-allow-origin")).toBe("https://ci.example.org");
    expect(good.headers.get("access-control-allow-headers")?.toLowerCase()).toMatch(/content-type.*authorization/);
    const call = await fetch(`${address}/belay.v1.JobService/ListJobs`, {
      method: "POST",
      headers: { origin: "https://ci.example.org", "content-type": "application/json" },
      body: "{}",
    });
    expect(call.status).toBe(200);
    expect(call.headers.get("access-control-allow-origin")).toBe("https://ci.example.org");
    expect(call.headers.get("content-type")).toMatch(/json/);
    expect((await ask(address, "https://evil.example.org")).headers.has("access-control-allow-origin")).toBe(false);
  });

  test("may not call at all unless asked for", async () => {
    const { address } = await testTracker();
    expect((await ask(address, "https://ci.example.org")).headers.has("access-control-allow-origin")).toBe(false);
  });
});

test("The log has job and session of each remark about a session, as fields", async () => {
  let log = "";
  const logger = createLogger({ level: "info", format: "json", write: (line) => void (log += line) });
  const { address, tracker } = await testTracker({ logger });
  const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
  await agent.hello({ spec: someSpec });
  const other = ScriptedAgent.connect({ url: address, jobId: "j" });
  other.sayHello({ spec: someSpec });
  await other.ended;
  await tracker.close();
  await logger.flush();
  const lines = log.trimEnd().split("\n");
  const remarks = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  const [mine, theirs] = [agent, other].map(({ sessionId }) => ({ job: "j", session: sessionId }));
  expect(remarks).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ msg: "Session opened", attempt: 1, ...mine }),
      expect.objectContaining({ msg: "Session refused", ...theirs }),
      expect.objectContaining({ msg: "Stream of a session ended", ...mine }),
    ]),
  );
});

test("Tokens that are loaded again count from the next call on; a stream that is open stays open", async () => {
  const { address, tracker } = await testTracker({ tokens: { agent: ["old"], operator: [] } });
  const agent = ScriptedAgent.connect({ url: address, jobId: "j", token: "old" });
  await agent.hello({ spec: someSpec });
  expect(() => tracker.reload({ tokens: { agent: [], operator: [] } })).toThrow(/empty list of tokens/);
  tracker.reload({ tokens: { agent: ["new"], operator: [] } });
  const late = ScriptedAgent.connect({ url: address, jobId: "k", token: "old" });
  late.sayHello({ spec: someSpec });
  expect(await late.ended).toMatchObject({ code: 16 });
  expect(
    (await ScriptedAgent.connect({ url: address, jobId: "k", token: "new" }).hello({ spec: someSpec })).attempt,
  ).toBe(1);
  agent.beat(1n);
  expect((await agent.next("heartbeatReply")).nonce).toBe(1n);
});
