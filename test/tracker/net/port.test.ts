import { createClient } from "@connectrpc/connect";
import { createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { once } from "node:events";
import { connect } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { JobService } from "../../../src/gen/belay/v1/job_service_pb.ts";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../../src/gen/grpc/health/v1/health_pb.ts";
import { startTracker } from "../../../src/tracker/server.ts";
import { ScriptedAgent } from "../../../src/testing/index.ts";
import { jobClient, someSpec, testDirectory, testTracker } from "../../helpers/tracker.ts";

function post(address: string, method: string, body: object, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${address}/belay.v1.JobService/${method}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });
}

/** Sends bytes and waits until the tracker closes the connection. */
async function throwAt(address: string, bytes: Buffer): Promise<string> {
  const { hostname, port } = new URL(address);
  const socket = connect(Number(port), hostname);
  socket.on("error", () => undefined);
  const parts: Buffer[] = [];
  socket.on("data", (part: Buffer) => parts.push(part));
  socket.write(bytes);
  await once(socket, "close");
  return Buffer.concat(parts).toString("latin1");
}

describe("One port", () => {
  test("answers plain JSON over HTTP/1.1", async () => {
    const { address } = await testTracker();
    const made = await post(address, "CreateJob", { jobId: "j", spec: { command: ["true"] } });
    expect(made.status).toBe(200);
    expect(await made.json()).toMatchObject({ job: { jobId: "j", state: "JOB_STATE_PENDING" } });
    const refused = await post(address, "GetJob", { jobId: "other" });
    expect(refused.status).toBe(404);
    expect(await refused.json()).toEqual({ code: "not_found", message: 'Job "other" does not exist' });
    const bad = await post(address, "CreateJob", { jobId: "a/b", spec: { command: ["true"] } });
    expect(bad.status).toBe(400);
  });

  test("answers gRPC and gRPC-Web", async () => {
    const { address, jobs } = await testTracker();
    await jobs.createJob({ jobId: "j", spec: someSpec });
    const grpc = createClient(JobService, createGrpcTransport({ baseUrl: address }));
    expect((await grpc.getJob({ jobId: "j" })).job?.jobId).toBe("j");
    const web = createClient(JobService, createGrpcWebTransport({ baseUrl: address, httpVersion: "1.1" }));
    expect((await web.getJob({ jobId: "j" })).job?.jobId).toBe("j");
  });

  test("answers health probes", async () => {
    const { address } = await testTracker();
    const health = await fetch(`${address}/healthz`);
    expect([health.status, await health.text()]).toEqual([200, "ok\n"]);
    const grpc = createClient(Health, createGrpcTransport({ baseUrl: address }));
    expect((await grpc.check({})).status).toBe(Status.SERVING);
    expect((await grpc.check({ service: "belay.v1.JobService" })).status).toBe(Status.SERVING);
    await expect(grpc.check({ service: "other" })).rejects.toThrow(/not_found/);
    expect((await fetch(`${address}/nothing`)).status).toBe(404);
  });

  test("accepts a deadline that is further away than Node's timers reach", async () => {
    const { address } = await testTracker();
    const answer = await fetch(`${address}/belay.v1.JobService/ListJobs`, {
      method: "POST",
      headers: { "content-type": "application/json", "connect-timeout-ms": "9999999999" },
      body: "{}",
    });
    expect(answer.status).toBe(200);
    const grpc = createClient(JobService, createGrpcTransport({ baseUrl: address }));
    expect((await grpc.listJobs({}, { headers: { "grpc-timeout": "99999999H" } })).jobs).toEqual([]);
  });

  test("is a unix socket if asked, and takes over one that a dead process left", async () => {
    const path = join(await testDirectory(), "sock");
    const { address } = await testTracker({ listen: `unix:${path}` });
    expect(address).toBe(`unix:${path}`);
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    expect((await agent.hello({ spec: someSpec })).attempt).toBe(1);
    const dataDirectory = await testDirectory();
    await expect(startTracker({ listen: address, dataDirectory })).rejects.toMatchObject({ code: "ADDRESS_IN_USE" });
  });
});

describe("What is no request", () => {
  const cases: [string, Buffer][] = [
    ["garbage", Buffer.from("\u0000\u0001\u0002 garbage \r\n\r\n")],
    ["a TLS hello", Buffer.from("160301020001000001fc0303", "hex")],
    ["the preface of HTTP/2, then garbage", Buffer.from(`PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${"x".repeat(100)}`)],
    [
      "a malformed Host",
      Buffer.from("POST /belay.v1.JobService/GetJob HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n"),
    ],
    ["no Host", Buffer.from("POST /belay.v1.JobService/GetJob HTTP/1.0\r\n\r\n")],
    ["half a preface", Buffer.from("PRI * HT\r\n\r\n")],
  ];
  test.each(cases)("closes the connection and harms no other: %s", async (_, bytes) => {
    const { address } = await testTracker();
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello({ spec: someSpec });
    expect(await throwAt(address, bytes)).not.toMatch(/ 200 /);
    agent.beat(1n);
    expect((await agent.next("heartbeatReply")).nonce).toBe(1n);
  });

  test("a message with a declared length of 4 GB is refused without waiting for it", async () => {
    const { address } = await testTracker();
    const answer = await fetch(`${address}/belay.v1.JobService/GetJob`, {
      method: "POST",
      headers: { "content-type": "application/grpc-web+proto" },
      body: Buffer.from([0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]),
    });
    expect(await answer.text()).toMatch(/grpc-status: 8/);
  });
});

describe("Tokens", () => {
  const tokens = { agent: ["agent-secret"], operator: ["operator-secret"] };

  test("are required: a call without one, or with a wrong one, is UNAUTHENTICATED", async () => {
    const { address } = await testTracker({ tokens });
    expect((await post(address, "ListJobs", {})).status).toBe(401);
    expect((await post(address, "ListJobs", {}, { authorization: "Bearer wrong" })).status).toBe(401);
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    agent.sayHello({ spec: someSpec });
    expect(await agent.ended).toMatchObject({ code: 16 });
    expect((await fetch(`${address}/healthz`)).status).toBe(200);
  });

  test("of an agent open sessions and nothing else; the session is recorded under it", async () => {
    const { address } = await testTracker({ tokens });
    expect((await post(address, "ListJobs", {}, { authorization: "Bearer agent-secret" })).status).toBe(403);
    const agent = ScriptedAgent.connect({ url: address, jobId: "j", token: "agent-secret" });
    await agent.hello({ spec: someSpec });
    const { job } = await jobClient(address, "operator-secret").getJob({ jobId: "j" });
    expect(job?.attempts[0]?.principal).toBe("agent-token-1");
  });
});

describe("Starting", () => {
  test("beyond loopback without TLS and tokens is refused, and allowed with insecure", async () => {
    const dataDirectory = await testDirectory();
    await expect(startTracker({ listen: "0.0.0.0:0", dataDirectory })).rejects.toMatchObject({
      code: "BAD_USAGE",
      message: expect.stringMatching(/^Refusing to listen on "0.0.0.0" without TLS and tokens/) as unknown,
    });
    const { address } = await testTracker({ listen: "0.0.0.0:0", insecure: true });
    expect(address).toMatch(/^http:\/\/0\.0\.0\.0:\d+$/);
  });

  test("on a port that is taken is ADDRESS_IN_USE", async () => {
    const { address } = await testTracker();
    const listen = new URL(address).host;
    await expect(startTracker({ listen, dataDirectory: await testDirectory() })).rejects.toMatchObject({
      code: "ADDRESS_IN_USE",
    });
  });

  test.each([
    [{ listen: "nowhere" }, /^Cannot listen on "nowhere": expected/],
    [{ heartbeatInterval: 1000, lease: 1500 }, /^Cannot use a lease of 1500 ms: expected at least two heartbeat/],
    [{ tokens: { agent: [], operator: [] } }, /^Cannot use an empty list of tokens/],
  ])("with bad options is BAD_USAGE: %j", async (options, message) => {
    const started = startTracker({ dataDirectory: await testDirectory(), ...options });
    await expect(started).rejects.toMatchObject({
      code: "BAD_USAGE",
      message: expect.stringMatching(message) as unknown,
    });
  });
});
