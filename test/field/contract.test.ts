import { once } from "node:events";
import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import { connect, constants } from "node:http2";
import { buffer } from "node:stream/consumers";
import { create, toBinary } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { describe, expect, it, onTestFinished } from "vitest";
import { createLogger } from "../../src/base/logger.ts";
import { type JobState, LogStream } from "../../src/gen/belay/v1/job_pb.ts";
import { CreateJobRequestSchema, JobService, ListJobsResponseSchema } from "../../src/gen/belay/v1/job_service_pb.ts";
import { ScriptedAgent } from "../../src/testing/index.ts";
import { type TestTracker, someSpec, testTracker } from "../helpers/tracker.ts";

const PATH = "/belay.v1.JobService";

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

interface Raw {
  readonly method?: string;
  readonly path: string;
  readonly type?: string;
  readonly body?: string | Buffer;
}

/** A request over HTTP/1.1 that no client of Belay would make. */
async function http1(address: string, { method = "POST", path, type, body }: Raw): Promise<Answer> {
  const answer = await fetch(`${address}${path}`, {
    method,
    ...(type !== undefined && { headers: { "content-type": type } }),
    ...(body !== undefined && method !== "GET" && { body: Buffer.from(body) }),
  });
  return { status: answer.status, headers: Object.fromEntries(answer.headers), body: await answer.text() };
}

async function session(address: string): Promise<ClientHttp2Session> {
  const opened = connect(address);
  opened.on("error", () => undefined);
  onTestFinished(() => opened.destroy());
  await once(opened, "connect");
  return opened;
}

/** Such a request over HTTP/2. */
async function http2(address: string, { method = "POST", path, type, body }: Raw): Promise<Answer> {
  const request = (await session(address)).request({
    ":method": method,
    ":path": path,
    ...(type !== undefined && { "content-type": type }),
  });
  request.end(body);
  const [headers] = (await once(request, "response")) as [Record<string, string>];
  return { status: Number(headers[":status"]), headers, body: (await buffer(request)).toString() };
}

const json = (address: string, method: string, body: unknown): Promise<Answer> =>
  http1(address, { path: `${PATH}/${method}`, type: "application/json", body: JSON.stringify(body) });

/** A streaming call of the Connect protocol, with messages in JSON. @returns all frames as text */
async function jsonStream(address: string, method: string, body: unknown): Promise<string> {
  const message = Buffer.from(JSON.stringify(body));
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  const type = "application/connect+json";
  return (await http1(address, { path: `${PATH}/${method}`, type, body: Buffer.concat([prefix, message]) })).body;
}

async function codeOf(call: Promise<unknown>): Promise<Code | undefined> {
  return call.then(
    () => undefined,
    (error: unknown) => ConnectError.from(error).code,
  );
}

describe("A call in JSON is rejected if it has an unknown field or value", () => {
  it.each([
    [
      "ListJobs",
      { filter: { states: ["RUNNING"] } },
      'belay.v1.JobState has no value "RUNNING": expected one of JOB_STATE_',
    ],
    ["ListJobs", { filter: { states: [99] } }, "filter.states has 99: expected JOB_STATE_PENDING (1)"],
    ["ListJobs", { filter: { states: [0] } }, "filter.states has 0: expected JOB_STATE_PENDING (1)"],
    ["ListJobs", { filter: { state: ["JOB_STATE_RUNNING"] } }, 'has no field "state": did you mean "states"?'],
    ["ListJobs", { fliter: {} }, 'belay.v1.ListJobsRequest has no field "fliter": did you mean "filter"?'],
    ["CreateJob", { spec: { comand: ["true"] } }, 'belay.v1.JobSpec has no field "comand": did you mean "command"?'],
    [
      "CreateJob",
      { spec: { command: ["x"], setup: [{ rum: "x" }] } },
      'belay.v1.SetupStep has no field "rum": did you',
    ],
    ["CreateJob", { spec: { command: ["x"], timeout: "5m" } }, "google.protobuf.Duration"],
    ["CancelJob", { jobId: "j", grace: "1s" }, 'belay.v1.CancelJobRequest has no field "grace"'],
    ["SignalJob", { jobId: "j", sig: "SIGUSR1" }, 'has no field "sig"'],
    ["DeleteJob", { id: "j" }, 'has no field "id"'],
  ])("%s %j", async (method, body, problem) => {
    const { address, jobs } = await testTracker();
    await jobs.createJob({ jobId: "j", spec: someSpec });
    const answer = await json(address, method, body);
    expect(answer.status).toBe(400);
    const error = JSON.parse(answer.body) as { code: string; message: string };
    expect(error.code).toBe("invalid_argument");
    expect(error.message).toContain(problem);
    expect((await jobs.listJobs({})).jobs.map(({ jobId }) => jobId)).toEqual(["j"]);
  });

  it.each([
    ["WatchJobs", { filter: { states: ["RUNNING"] } }],
    ["WatchJobs", { filter: { states: [99] } }],
    ["ReadLogs", { jobId: "j", streams: ["STDERR"] }],
    ["ReadLogs", { jobId: "j", streams: [7] }],
    ["ReadLogs", { jobId: "j", tail: "3" }],
    ["ReadMetrics", { jobId: "j", max: 3 }],
  ])("%s %j, a stream", async (method, body) => {
    const { address, jobs } = await testTracker();
    await jobs.createJob({ jobId: "j", spec: someSpec });
    expect(await jsonStream(address, method, body)).toContain('"code":"invalid_argument"');
  });

  it("but in binary, unknown fields of a newer contract are ignored, except in filters", async () => {
    const { address, jobs } = await testTracker();
    const request = create(CreateJobRequestSchema, { jobId: "j", spec: someSpec });
    // Field 1000, a varint.
    const newer = Buffer.concat([toBinary(CreateJobRequestSchema, request), Buffer.from([0xc0, 0x3e, 0x01])]);
    const made = await http1(address, { path: `${PATH}/CreateJob`, type: "application/proto", body: newer });
    expect(made.status).toBe(200);
    for (const client of [jobs, createClient(JobService, createGrpcTransport({ baseUrl: address }))]) {
      expect(await codeOf(client.listJobs({ filter: { states: [99 as JobState] } }))).toBe(Code.InvalidArgument);
      const jobsSeen = client.watchJobs({ filter: { states: [0] } });
      expect(await codeOf(jobsSeen[Symbol.asyncIterator]().next())).toBe(Code.InvalidArgument);
      const logs = client.readLogs({ jobId: "j", streams: [7 as LogStream] });
      expect(await codeOf(logs[Symbol.asyncIterator]().next())).toBe(Code.InvalidArgument);
    }
  });
});

describe("An answer is never larger than 3 MiB", { timeout: 30_000 }, () => {
  const MOST = 3 * 1024 * 1024;

  it("because a page of jobs ends early, however large the jobs are; all of them arrive", async () => {
    const { address, jobs } = await testTracker();
    const environment = { DATA: "é".repeat(22_500) };
    const ids = Array.from({ length: 100 }, (_, n) => `j${String(n).padStart(3, "0")}`);
    for (const jobId of ids) await jobs.createJob({ jobId, spec: { ...someSpec, environment } });
    await jobs.createJob({ jobId: "large", spec: { ...someSpec, environment: { DATA: "x".repeat(1_000_000) } } });
    // grpc-js and connect-node accept 4 MiB by default, and JSON is larger than protobuf.
    const grpc = createClient(JobService, createGrpcTransport({ baseUrl: address, readMaxBytes: 4 * 1024 * 1024 }));
    const found: string[] = [];
    let pageToken = "";
    do {
      const page = await grpc.listJobs({ pageSize: 1000, pageToken });
      expect(toBinary(ListJobsResponseSchema, page).byteLength).toBeLessThanOrEqual(MOST);
      found.push(...page.jobs.map(({ jobId }) => jobId));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(found).toEqual(["large", ...ids.toReversed()]);
    const first = await json(address, "ListJobs", { pageSize: 1000 });
    expect(Buffer.byteLength(first.body)).toBeLessThanOrEqual(MOST);
    expect((JSON.parse(first.body) as { nextPageToken: string }).nextPageToken).not.toBe("");
  });

  it("in ReadLogs as well, even if the job prints byte by byte", async () => {
    const { address, jobs } = await testTracker();
    await jobs.createJob({ jobId: "j", spec: someSpec });
    const agent = ScriptedAgent.connect({ url: address, jobId: "j" });
    await agent.hello();
    const batches = 40;
    const chunks = 5_000;
    let last = 0n;
    for (let batch = 0; batch < batches; batch++) {
      last = agent.batch(
        Array.from({ length: chunks }, (_, n) => ({
          stream: LogStream.STDOUT,
          step: 1,
          offset: BigInt(batch * chunks + n),
          readUnixNano: 1_800_000_000_000_000_000n,
          content: { case: "data", value: Buffer.from("x") },
        })),
      );
    }
    await agent.acked(0n, last);
    const path = `${PATH}/ReadLogs`;
    const type = "application/grpc+proto";
    // Field 1 is the job's id.
    const message = Buffer.from([0, 0, 0, 0, 3, 0x0a, 1, "j".charCodeAt(0)]);
    const request = (await session(address)).request({
      ":method": "POST",
      ":path": path,
      "content-type": type,
      te: "trailers",
    });
    request.end(message);
    const bytes = await buffer(request);
    let answers = 0;
    for (let at = 0; at < bytes.length; at += 5 + bytes.readUInt32BE(at + 1), answers++) {
      expect(bytes.readUInt32BE(at + 1)).toBeLessThanOrEqual(MOST);
    }
    expect(answers).toBeGreaterThan(1);
  });
});

describe("A command's id stands for one order", () => {
  const orders: [name: string, order: (jobs: TestTracker["jobs"]) => Promise<unknown>][] = [
    ["SIGUSR1", (jobs) => jobs.signalJob({ jobId: "j", commandId: "c", signal: "SIGUSR1" })],
    ["SIGTERM", (jobs) => jobs.signalJob({ jobId: "j", commandId: "c", signal: "SIGTERM" })],
    ["pause", (jobs) => jobs.pauseJob({ jobId: "j", commandId: "c" })],
    ["resume", (jobs) => jobs.resumeJob({ jobId: "j", commandId: "c" })],
    ["cancel", (jobs) => jobs.cancelJob({ jobId: "j", commandId: "c" })],
    ["cancel for a reason", (jobs) => jobs.cancelJob({ jobId: "j", commandId: "c", reason: "why" })],
    [
      "cancel with a grace period",
      (jobs) => jobs.cancelJob({ jobId: "j", commandId: "c", gracePeriod: durationFromMs(5) }),
    ],
  ];
  it.each(orders)("%s: the same order may be repeated, any other is rejected", async (name, order) => {
    const { address, jobs } = await testTracker();
    await jobs.createJob({ jobId: "j", spec: someSpec });
    await ScriptedAgent.connect({ url: address, jobId: "j" }).hello();
    await order(jobs);
    await order(jobs);
    for (const [other, orderOther] of orders) {
      expect([other, await codeOf(orderOther(jobs))]).toEqual([other, other === name ? undefined : Code.AlreadyExists]);
    }
    const { job } = await jobs.getJob({ jobId: "j" });
    expect(job?.commands).toHaveLength(1);
  });
});

describe("Calls that their caller cancels", { timeout: 30_000 }, () => {
  /** Opens a watch and cancels it, as a closed web page does. @param atOnce without waiting for the answer */
  async function watchAndLeave(http: ClientHttp2Session, job: string, atOnce = false): Promise<void> {
    const path = `${PATH}/WatchJob`;
    const request: ClientHttp2Stream = http.request(
      { ":method": "POST", ":path": path, "content-type": "application/grpc+proto", te: "trailers" },
      { endStream: false },
    );
    request.on("error", () => undefined);
    request.end(Buffer.from([0, 0, 0, 0, 2 + job.length, 0x0a, job.length, ...Buffer.from(job)]));
    if (!atOnce) await once(request, "response");
    request.close(constants.NGHTTP2_CANCEL);
    if (!request.destroyed) await once(request, "close");
  }

  it("do not end the connection, even at the rate of a busy backend", async () => {
    const { address, jobs } = await testTracker({ limits: { callsPerSecond: 0 } });
    await jobs.createJob({ jobId: "j", spec: someSpec });
    const http = await session(address);
    // Node's own limit is 1000, and 33 more each second.
    for (let n = 0; n < 1900; n += 50) await Promise.all(Array.from({ length: 50 }, () => watchAndLeave(http, "j")));
    expect(http.closed).toBe(false);
    await watchAndLeave(http, "j");
  });

  it("end it with ENHANCE_YOUR_CALM when there are far too many, and the tracker's log says so", async () => {
    let log = "";
    const logger = createLogger({ level: "warn", write: (line) => void (log += line) });
    const { address, jobs } = await testTracker({ logger, limits: { callsPerSecond: 0 } });
    await jobs.createJob({ jobId: "j", spec: someSpec });
    const http = await session(address);
    const gone = once(http, "goaway") as Promise<[code: number]>;
    const over = new AbortController();
    void gone.then(() => over.abort());
    while (!over.signal.aborted) {
      await Promise.all(Array.from({ length: 100 }, () => watchAndLeave(http, "j", true))).catch(() => undefined);
      await new Promise((resolve) => setImmediate(resolve));
    }
    const [code] = await gone;
    expect(code).toBe(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    await logger.flush();
    expect(log).toContain("A connection was closed: too many of its calls were broken off");
    expect(log).toContain("1000 a second");
    // Other clients are served as before, and so is the same client on a new connection.
    await watchAndLeave(await session(address), "j");
  });
});

describe.each([
  ["HTTP/1.1", http1],
  ["HTTP/2", http2],
])("A wrong request over %s is answered with a sentence", (_, send) => {
  const ANY = "expected application/json, application/proto, application/grpc, application/grpc-web";
  it.each([
    [
      { method: "GET", path: `${PATH}/ListJobs` },
      405,
      "ListJobs is not called by GET: expected POST",
      { allow: "POST" },
    ],
    [
      { method: "DELETE", path: `${PATH}/GetJob` },
      405,
      "GetJob is not called by DELETE: expected POST",
      { allow: "POST" },
    ],
    [
      { method: "PUT", path: `${PATH}/ReadLogs` },
      405,
      "ReadLogs is not called by PUT: expected POST",
      { allow: "POST" },
    ],
    [{ path: `${PATH}/ListJobs`, type: "text/plain", body: "{}" }, 415, `the content type "text/plain": ${ANY}`, {}],
    [{ path: `${PATH}/ListJobs`, type: "application/x-www-form-urlencoded", body: "{}" }, 415, ANY, {}],
    [{ path: `${PATH}/ListJobs`, body: Buffer.from("{}") }, 415, "does not accept the content type none", {}],
    [{ path: `${PATH}/ReadLogs`, type: "application/json", body: "{}" }, 415, "application/connect+json", {}],
    [
      { path: `${PATH}/ListJob`, type: "application/json", body: "{}" },
      404,
      "Nothing at /belay.v1.JobService/ListJob",
      {},
    ],
    [{ method: "GET", path: "/jobs" }, 404, "Nothing at /jobs. This is a Belay tracker", {}],
    [{ method: "GET", path: "/constructor" }, 404, "Nothing at /constructor", {}],
    [{ method: "GET", path: "/" }, 200, "This is a Belay tracker, version ", {}],
    [{ method: "POST", path: "/healthz" }, 405, "/healthz is a page: expected GET, found POST", { allow: "GET, HEAD" }],
  ] as [Raw, number, string, Record<string, string>][])("%j: %i", async (raw, status, sentence, headers) => {
    const { address } = await testTracker();
    const answer = await send(address, raw);
    expect(answer.status).toBe(status);
    expect(answer.headers["content-type"]).toBe("text/plain; charset=utf-8");
    expect(answer.headers).toMatchObject(headers);
    expect(answer.body).toContain(sentence);
    expect(answer.body.trimEnd()).not.toContain("\n");
  });

  it("and a wrong gRPC-Web request in the form of that protocol", async () => {
    const { address } = await testTracker();
    const web = createClient(JobService, createGrpcWebTransport({ baseUrl: address, httpVersion: "1.1" }));
    expect(await codeOf(web.listJobs({ filter: { states: [99 as JobState] } }))).toBe(Code.InvalidArgument);
    const wrong = await send(address, { path: `${PATH}/ListJobs`, type: "application/grpc-web+xml", body: "x" });
    expect([wrong.status, wrong.body]).toEqual([415, expect.stringContaining("application/grpc-web")]);
  });
});
