import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import type { Socket } from "node:net";
import { connect } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { RateLimit } from "../../../src/tracker/net/rate-limit.ts";
import { ManualClock } from "../../helpers/manual-clock.ts";
import { ScriptedAgent } from "../../helpers/scripted-agent.ts";
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

describe("Limits", () => {
  test("on connections: one too many is closed at once, those there go on, and room is given back", async () => {
    const { address } = await testTracker({ limits: { connections: 2 } });
    const agent = new ScriptedAgent(address, "j");
    await agent.hello({ spec: someSpec });
    const second = open(address);
    await once(second, "connect");
    const third = open(address);
    await once(third, "close");
    agent.heartbeat(1n);
    expect((await agent.next("heartbeatReply")).value.nonce).toBe(1n);
    second.destroy();
    await expect.poll(async () => (await fetch(`${address}/healthz`).catch(() => undefined))?.status).toBe(200);
  });

  test("on calls a second: RESOURCE_EXHAUSTED says when to try again; others and agents are not held up", async () => {
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
    expect((await new ScriptedAgent(address, "j", { token: "a" }).hello({ spec: someSpec })).attempt).toBe(1);
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
    const hello = new ScriptedAgent(address, "j").hello({ spec: { ...someSpec, command: ["x".repeat(2000)] } });
    await expect(hello).rejects.toThrow(/ended with 3 "Bad spec: spec has \d+ bytes: expected at most 1000/);
  });

  test("on calls of one connection: what is beyond waits for the client, nobody else", async () => {
    const { address } = await testTracker({ limits: { streams: 3 } });
    const session = connectHttp2(address);
    onTestFinished(() => session.destroy());
    await once(session, "remoteSettings");
    expect(session.remoteSettings.maxConcurrentStreams).toBe(3);
  });
});

describe("A client that takes for ever", () => {
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
    const agent = new ScriptedAgent(address, "j");
    await agent.hello({ spec: someSpec });
    const socket = open(address);
    await once(socket, "connect");
    begin(socket);
    socket.resume();
    await once(socket, "close");
    agent.heartbeat(1n);
    expect((await agent.next("heartbeatReply")).value.nonce).toBe(1n);
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

  test("after its calls is told to go, and can come again", async () => {
    const { address } = await testTracker({ limits: SHORT });
    const session = connectHttp2(address);
    const call = session.request({ ":path": "/healthz" }).resume();
    await once(call, "close");
    await once(session, "close");
    expect((await jobClient(address).listJobs({})).jobs).toEqual([]);
  });
});
