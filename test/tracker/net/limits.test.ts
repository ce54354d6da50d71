import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import type { Socket } from "node:net";
import { connect } from "node:net";
import { status } from "@grpc/grpc-js";
import { describe, expect, onTestFinished, test } from "vitest";
import { actionOn } from "../../../src/agent/session/status-rulings.ts";
import { compileOptions } from "../../../src/tracker/config.ts";
import { uuidv7 } from "../../../src/base/ids.ts";
import { RateLimit } from "../../../src/tracker/net/limits/rate-limit.ts";
import { signToken } from "../../../src/tracker/net/signed-token.ts";
import { ScriptedAgent } from "../../../src/testing/index.ts";
import { TcpProxy } from "../../fault/tcp-proxy.ts";
import { ManualClock } from "../../helpers/manual-clock.ts";
import { jobClient, someSpec, testTracker } from "../../helpers/tracker.ts";

const INVALID_ARGUMENT = 3;
const RESOURCE_EXHAUSTED = 8;
const SHORT = { headersTimeout: 200, requestTimeout: 400 };

function open(address: string): Socket {
  const { hostname, port } = new URL(address);
  const socket = connect(Number(port), hostname);
  socket.on("error", () => undefined);
  onTestFinished(() => void socket.destroy());
  return socket;
}

/** A watch of all jobs, on a connection of its own, that has shown what there is. */
async function watchOf(address: string, token?: string): Promise<{ close(): Promise<void> }> {
  const over = new AbortController();
  const answers = jobClient(address, token).watchJobs({}, { signal: over.signal })[Symbol.asyncIterator]();
  for (;;) {
    const { value, done } = await answers.next();
    if (done === true) throw new Error("The watch ended");
    if (value.change.case === "synced") break;
  }
  return {
    close: async () => {
      over.abort();
      await answers.next().catch(() => undefined);
    },
  };
}

describe("Limits", () => {
  test("on connections: one too many is closed at once, those there go on, and room is given back", async () => {
    const { address } = await testTracker({ limits: { connections: 2 } });
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    const second = open(address);
    await once(second, "connect");
    const third = open(address);
    await once(third, "close");
    agent.beat(1n);
    expect((await agent.next("heartbeatReply")).nonce).toBe(1n);
    second.destroy();
    await expect.poll(async () => (await fetch(`${address}/healthz`).catch(() => undefined))?.status).toBe(200);
  });

  test("on calls a second: RESOURCE_EXHAUSTED says when to try again; other clients and agents are not delayed", async () => {
    const tokens = { agent: ["a"], operator: ["one", "two"] };
    const { address } = await testTracker({ tokens, limits: { callsPerSecond: 5 } });
    const calls = await Promise.allSettled(Array.from({ length: 30 }, () => jobClient(address, "one").listJobs({})));
    const refused = calls.filter(({ status }) => status === "rejected");
    expect(refused.length).toBeGreaterThan(0);
    expect(refused[0]).toMatchObject({
      reason: {
        code: RESOURCE_EXHAUSTED,
        rawMessage: expect.stringMatching(
          /^More than 5 calls a second by operator-token-1: try again in \d+ ms$/,
        ) as unknown,
      },
    });
    await jobClient(address, "two").listJobs({});
    expect(
      (await ScriptedAgent.connect({ url: address, jobId: "j", token: "a" }).hello({ spec: someSpec })).attempt,
    ).toBe(1);
  });

  test("on calls a second are filled steadily, up to two seconds' worth", () => {
    const clock = new ManualClock();
    const limit = new RateLimit(clock, 10);
    const taken = (): number => {
      let count = 0;
      while (limit.take("x") === 0) count++;
      return count;
    };
    expect(taken()).toBe(20);
    expect(limit.take("x")).toBe(100);
    clock.advance(300);
    expect(taken()).toBe(3);
    clock.advance(60_000);
    expect(taken()).toBe(20);
    expect(limit.take("y")).toBe(0);
  });

  test("on the spec: INVALID_ARGUMENT names size and limit", async () => {
    const { jobs } = await testTracker({ limits: { specBytes: 1000 } });
    await expect(jobs.createJob({ spec: { command: ["x".repeat(2000)] } })).rejects.toMatchObject({
      code: INVALID_ARGUMENT,
      rawMessage: "spec has 2003 bytes: expected at most 1000",
    });
  });

  test("on the spec that an agent brings: the same", async () => {
    const { address } = await testTracker({ limits: { specBytes: 1000 } });
    const hello = ScriptedAgent.connect({ url: address, jobId: "j" }).hello({
      spec: { ...someSpec, command: ["x".repeat(2000)] },
    });
    await expect(hello).rejects.toThrow(/INVALID_ARGUMENT: Bad spec: spec has \d+ bytes: expected at most 1000/);
  });

  test("on calls of one connection: more of them wait, and only this client waits", async () => {
    const { address } = await testTracker({ limits: { streams: 3 } });
    const session = connectHttp2(address);
    onTestFinished(() => session.destroy());
    await once(session, "remoteSettings");
    expect(session.remoteSettings.maxConcurrentStreams).toBe(3);
  });

  test("on a client's calls under way, over all its connections: more of them are refused with the reason; other clients are not", async () => {
    const tokens = { agent: ["a"], operator: ["one", "two"] };
    const { address } = await testTracker({ tokens, limits: { callsPerClient: 2 } });
    const agent = ScriptedAgent.connect({ url: address, jobId: "j", token: "a" });
    await agent.hello({ spec: someSpec });
    const watches = await Promise.all([0, 1].map(() => watchOf(address, "one")));
    const full = {
      code: RESOURCE_EXHAUSTED,
      rawMessage:
        "More than 2 calls under way by operator-token-1: end some, such as watches and followed logs, or raise the tracker's --max-client-calls",
    };
    await expect(watchOf(address, "one")).rejects.toMatchObject(full);
    await expect(jobClient(address, "one").getJob({ jobId: "j" })).rejects.toMatchObject(full);
    await (await watchOf(address, "two")).close();
    agent.beat(1n);
    expect((await agent.next("heartbeatReply")).nonce).toBe(1n);
    // Room is given back.
    await watches[0]?.close();
    await expect.poll(() => jobClient(address, "one").getJob({ jobId: "j" })).toMatchObject({ job: { jobId: "j" } });
    await watches[1]?.close();
  });

  test("on a client's calls: one without a name is known by its address", async () => {
    const { address, jobs } = await testTracker({ limits: { callsPerClient: 1 } });
    const watch = await watchOf(address);
    await expect(jobs.listJobs({})).rejects.toThrow(/More than 1 calls under way by 127\.0\.0\.1: /);
    await watch.close();
  });

  test("on a client's agents: RESOURCE_EXHAUSTED, which agents try again after; the place of one that went is free", async () => {
    const tokens = { agent: ["a", "b"], operator: ["o"] };
    const { address } = await testTracker({ tokens, limits: { agentsPerClient: 2, callsPerClient: 1 } });
    const connected = ["j1", "j2"].map((job) => ScriptedAgent.connect({ url: address, jobId: job, token: "a" }));
    for (const agent of connected) await agent.hello({ spec: someSpec });
    const third = ScriptedAgent.connect({ url: address, jobId: "j3", token: "a" });
    third.sayHello({ spec: someSpec });
    expect(await third.ended).toEqual({
      code: RESOURCE_EXHAUSTED,
      details:
        "More than 2 agents' streams open by agent-token-1: give some agents another token, " +
        "or raise the tracker's --max-client-agents",
    });
    expect(actionOn(status.RESOURCE_EXHAUSTED, false)).toBe("retry");
    await ScriptedAgent.connect({ url: address, jobId: "j4", token: "b" }).hello({ spec: someSpec });
    await jobClient(address, "o").listJobs({});
    connected[0]?.vanish();
    await expect
      .poll(() =>
        ScriptedAgent.connect({ url: address, jobId: "j3", token: "a" }).hello({ spec: someSpec }).catch(String),
      )
      .toMatchObject({ attempt: 1 });
  });

  test("on a client's agents: one that comes back over a new path frees the place of its old one, which is dead", async () => {
    const { address } = await testTracker({ limits: { agentsPerClient: 2 } });
    const sessionId = uuidv7();
    for (let connection = 1; connection <= 4; connection++) {
      const proxy = await TcpProxy.start(address);
      // The place is free a moment after the newer stream has been welcomed.
      await expect
        .poll(() =>
          ScriptedAgent.connect({ url: proxy.url, jobId: "j", sessionId }).hello({ spec: someSpec }).catch(String),
        )
        .toMatchObject({ attempt: 1 });
      proxy.blackHole();
    }
  });

  test("on the streams of a token for one job are narrow, whatever others may have", async () => {
    const key = "k".repeat(32);
    const tokens = { agent: [], operator: ["o"], keys: [key] };
    const { address } = await testTracker({ tokens, limits: { agentsPerClient: 0 } });
    const token = await signToken(key, "j", 60_000);
    const agents = Array.from({ length: 65 }, () => ScriptedAgent.connect({ url: address, jobId: "j", token }));
    const refused = await Promise.race(agents.map(({ ended }) => ended));
    expect(refused.code).toBe(RESOURCE_EXHAUSTED);
    expect(refused.details).toMatch(
      /^More than 64 agents' streams open by job-token-\S+: a token for one job is for one agent$/,
    );
    for (const agent of agents) agent.vanish();
  });

  test("leave room for ten thousand agents that share one token or one address", () => {
    const { limits } = compileOptions({ dataDirectory: "d" });
    expect(Math.min(limits.agentsPerClient, limits.connections)).toBeGreaterThan(10_000);
    expect(limits.agentsPerClient).toBeLessThan(limits.connections);
  });

  test("on a message: the answer names the limit, for agents and on the control side", async () => {
    const { address, jobs } = await testTracker();
    const tooLarge = "x".repeat(5 * 1024 * 1024);
    await expect(jobs.createJob({ spec: { command: [tooLarge] } })).rejects.toMatchObject({
      code: RESOURCE_EXHAUSTED,
      rawMessage: expect.stringMatching(/message size is larger than configured readMaxBytes 4194304/) as unknown,
    });
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    agent.print(tooLarge);
    // The same message would come again, so this is one that agents do not try again after.
    expect(await agent.ended).toMatchObject({
      code: INVALID_ARGUMENT,
      details: expect.stringMatching(/larger than configured readMaxBytes 4194304/) as unknown,
    });
  });

  test.each<[string, Record<string, string>, RegExp]>([
    [
      "their number",
      Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`k${i}`, ""])),
      /has 65 entries: expected at most 64$/,
    ],
    ["a key", { "a b": "" }, /has the key "a b": expected 1 to 63 letters, digits/],
    ["a value", { k: "x".repeat(257) }, /\["k"\] has 257 bytes: expected at most 256$/],
  ])("on labels: %s", async (_, labels, message) => {
    const { jobs } = await testTracker();
    await expect(jobs.createJob({ spec: { ...someSpec, labels } })).rejects.toMatchObject({
      code: INVALID_ARGUMENT,
      rawMessage: expect.stringMatching(message) as unknown,
    });
  });
});

describe("A client that never finishes its request", () => {
  const slow: [string, (socket: Socket) => void][] = [
    ["to say anything", () => undefined],
    [
      "over the headers of HTTP/1.1",
      (socket) => socket.write("POST /belay.v1.JobService/GetJob HTTP/1.1\r\nHost: a\r\nX"),
    ],
    [
      "over the body of HTTP/1.1",
      (socket) =>
        socket.write(
          "POST /belay.v1.JobService/GetJob HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{",
        ),
    ],
    ["over the preface of HTTP/2", (socket) => socket.write("PRI * HTTP/2.0\r\n\r\nSM")],
    ["over its first call of HTTP/2", (socket) => socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")],
  ];
  test.each(slow)("%s is cut off; a session beside it goes on", async (_, begin) => {
    const { address } = await testTracker({ limits: SHORT });
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    const socket = open(address);
    await once(socket, "connect");
    begin(socket);
    socket.resume();
    await once(socket, "close");
    agent.beat(1n);
    expect((await agent.next("heartbeatReply")).nonce).toBe(1n);
  });

  test("over the body of a call of HTTP/2 loses that call", async () => {
    const { address } = await testTracker({ limits: SHORT });
    const session = connectHttp2(address);
    onTestFinished(() => session.destroy());
    const call = session.request({
      ":method": "POST",
      ":path": "/belay.v1.JobService/GetJob",
      "content-type": "application/grpc+proto",
      te: "trailers",
    });
    call.on("error", () => undefined);
    call.write(Buffer.from([0, 0, 0, 0, 9, 1]));
    await once(call, "close");
    expect(call.rstCode).not.toBe(0);
  });

  test("gets GOAWAY after its calls, and can connect again", async () => {
    const { address } = await testTracker({ limits: SHORT });
    const session = connectHttp2(address);
    const call = session.request({ ":path": "/healthz" }).resume();
    await once(call, "close");
    await once(session, "close");
    expect((await jobClient(address).listJobs({})).jobs).toEqual([]);
  });
});
