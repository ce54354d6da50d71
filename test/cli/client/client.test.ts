import { once } from "node:events";
import { readFileSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import type { Http2SecureServer, Http2Server, ServerHttp2Session } from "node:http2";
import { createSecureServer, createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import path from "node:path";
import type { ServiceImpl } from "@connectrpc/connect";
import { Code, ConnectError } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { afterEach, describe, expect, it } from "vitest";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import type { ClientOptions, JobClient, Outage } from "../../../src/cli/client/client.ts";
import { openClient } from "../../../src/cli/client/client.ts";
import { readLogs, watchJob, watchJobs } from "../../../src/cli/client/resume.ts";
import { JobState, LogStream } from "../../../src/gen/belay/v1/job_pb.ts";
import { JobService } from "../../../src/gen/belay/v1/job_service_pb.ts";

const TLS = path.resolve(import.meta.dirname, "../../fixtures/tls");

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).toReversed()) await clean();
});

/** A tracker's JobService in which only what the test says is there. */
class Scripted {
  readonly url: string;
  private readonly server: Http2Server | Http2SecureServer;
  private readonly sessions: Set<ServerHttp2Session>;

  private constructor(url: string, server: Http2Server | Http2SecureServer, sessions: Set<ServerHttp2Session>) {
    this.url = url;
    this.server = server;
    this.sessions = sessions;
  }

  static async start(
    service: Partial<ServiceImpl<typeof JobService>>,
    options: { listen?: number | string; tls?: boolean } = {},
  ): Promise<Scripted> {
    const handler = connectNodeAdapter({ routes: (router) => router.service(JobService, service) });
    const pem = (name: string): Buffer => readFileSync(path.join(TLS, name));
    const server =
      options.tls === true
        ? createSecureServer({ cert: pem("cert.pem"), key: pem("key.pem") }, handler)
        : createServer(handler);
    const sessions = new Set<ServerHttp2Session>();
    server.on("session", (session) => sessions.add(session));
    await new Promise<void>((resolve) => {
      const { listen = 0 } = options;
      if (typeof listen === "string") server.listen(listen, resolve);
      else server.listen(listen, "127.0.0.1", resolve);
    });
    const address = server.address() as AddressInfo | string;
    const url =
      typeof address === "string"
        ? `unix:${address}`
        : `http${options.tls === true ? "s" : ""}://127.0.0.1:${address.port}`;
    const scripted = new Scripted(url, server, sessions);
    cleanups.push(() => scripted.stop());
    return scripted;
  }

  dropConnections(): void {
    for (const session of this.sessions) session.destroy();
    this.sessions.clear();
  }

  stop(): void {
    this.dropConnections();
    this.server.close();
  }
}

async function open(tracker: string, options: Partial<ClientOptions> = {}): Promise<JobClient> {
  const client = await openClient({ tracker, connectTimeout: 500, ...options });
  cleanups.push(() => client.close());
  return client;
}

const getJob = (client: JobClient) => client.call((jobs) => jobs.getJob({ jobId: "j" }));
const found = { getJob: () => ({ job: { jobId: "j" } }) };

async function tempDirectory(): Promise<string> {
  const directory = await mkdtemp(path.join(tmpdir(), "belay-client-"));
  cleanups.push(() => rm(directory, { recursive: true }));
  return directory;
}

describe("a call", () => {
  it("is made again until the tracker is there, and says that it waits", async () => {
    const remarks: string[] = [];
    const first = await Scripted.start(found);
    const port = Number(new URL(first.url).port);
    first.stop();
    const client = await open(first.url, { connectTimeout: 5_000, remark: (text) => remarks.push(text) });
    const answer = getJob(client);
    await expect.poll(() => remarks.length).toBe(1);
    expect(remarks[0]).toMatch(
      /^Cannot reach the tracker at .*: connection refused; trying for 5\.0s|trying for 4\.\ds/,
    );
    await Scripted.start(found, { listen: port });
    expect((await answer).job?.jobId).toBe("j");
  });

  it("gives up after the connect timeout", async () => {
    const client = await open("http://127.0.0.1:1");
    await expect(getJob(client)).rejects.toMatchObject({
      code: "TRACKER_UNREACHABLE",
      message: expect.stringMatching(/connection refused; gave up after [5-9]\d\dms$/),
    });
  });

  it("goes to the next address when one does not answer", async () => {
    const tracker = await Scripted.start(found);
    const client = await open(`http://127.0.0.1:1,${tracker.url}`);
    expect((await getJob(client)).job?.jobId).toBe("j");
  });

  it("goes through a socket", async () => {
    const tracker = await Scripted.start(found, { listen: path.join(await tempDirectory(), "belay.sock") });
    expect((await getJob(await open(tracker.url))).job?.jobId).toBe("j");
  });

  it("uses a new connection when the old one is gone", async () => {
    const tracker = await Scripted.start(found);
    const client = await open(tracker.url);
    await getJob(client);
    tracker.dropConnections();
    expect((await getJob(client)).job?.jobId).toBe("j");
  });

  it.each([
    [Code.NotFound, "NOT_FOUND", /^No job "j"/],
    [Code.InvalidArgument, "BAD_USAGE", /^No job "j"/],
    [Code.FailedPrecondition, "TRACKER_REFUSED", /^No job "j"/],
    [Code.AlreadyExists, "TRACKER_REFUSED", /^No job "j"/],
    [Code.Unauthenticated, "TRACKER_REFUSED", /requires a valid token: give one with --token-file/],
    [Code.PermissionDenied, "TRACKER_REFUSED", /^The token does not allow this/],
    [Code.Unimplemented, "TRACKER_REFUSED", /is not a Belay tracker, or an older one/],
  ])("that is refused with code %i is not made again", async (code, name, message) => {
    let calls = 0;
    const tracker = await Scripted.start({
      getJob: () => {
        calls++;
        throw new ConnectError(`no job "j"`, code);
      },
    });
    await expect(getJob(await open(tracker.url))).rejects.toMatchObject({
      code: name,
      message: expect.stringMatching(message),
    });
    expect(calls).toBe(1);
  });

  it("that the tracker is too busy for is made again", async () => {
    let calls = 0;
    const tracker = await Scripted.start({
      getJob: () => {
        calls++;
        if (calls < 3) throw new ConnectError("busy", Code.ResourceExhausted);
        return found.getJob();
      },
    });
    expect((await getJob(await open(tracker.url, { connectTimeout: 5_000 }))).job?.jobId).toBe("j");
  });
});

describe("over TLS, a call", () => {
  it("works when the tracker's authority is trusted", async () => {
    const tracker = await Scripted.start(found, { tls: true });
    expect((await getJob(await open(tracker.url, { ca: path.join(TLS, "cert.pem") }))).job?.jobId).toBe("j");
  });

  it("is not made when the authority is not trusted", async () => {
    const tracker = await Scripted.start(found, { tls: true });
    await expect(getJob(await open(tracker.url))).rejects.toThrow(/not signed by a known CA: pass the CA with --ca/);
  });

  it("to a tracker that expects TLS fails without it, and the error says so", async () => {
    const tracker = await Scripted.start(found, { tls: true });
    const plain = tracker.url.replace("https:", "http:");
    await expect(getJob(await open(plain))).rejects.toThrow(/: it speaks TLS: use https:\/\/ instead of http:\/\/$/);
  });
});

describe("a token", () => {
  it("goes with every call", async () => {
    const file = path.join(await tempDirectory(), "token");
    await writeFile(file, "secret\n");
    const seen: (string | null)[] = [];
    const tracker = await Scripted.start({
      getJob: (_, context) => {
        seen.push(context.requestHeader.get("authorization"));
        return found.getJob();
      },
    });
    await getJob(await open(tracker.url, { tokenFile: file }));
    expect(seen).toEqual(["Bearer secret"]);
  });

  it("is not sent in plaintext to another machine unless that is allowed", async () => {
    const file = path.join(await tempDirectory(), "token");
    await writeFile(file, "secret\n");
    await expect(open("http://tracker.example:1", { tokenFile: file })).rejects.toThrow(
      /Cannot send a token in plaintext/,
    );
    await open("http://tracker.example:1", { tokenFile: file, insecure: true });
    await open("https://tracker.example:1", { tokenFile: file });
  });

  it("must be in its file", async () => {
    await expect(open("http://127.0.0.1:1", { tokenFile: "/no/such" })).rejects.toMatchObject({ code: "BAD_USAGE" });
  });
});

describe("a stream that breaks", () => {
  it("goes on at the position after the last answer, in the attempt it began with", async () => {
    const asked: unknown[] = [];
    const tracker = await Scripted.start({
      readLogs: async function* (request, context) {
        asked.push([request.attempt, request.start.case, request.start.value]);
        const at = request.start.case === "fromPosition" ? request.start.value : 0n;
        const chunk = { stream: LogStream.STDOUT, content: { case: "data", value: Buffer.from(`${at}`) } } as const;
        yield { chunks: [chunk], nextPosition: at + 10n, attempt: 3 };
        if (asked.length < 3) await once(context.signal, "abort");
      },
    });
    const client = await open(tracker.url);
    const text: string[] = [];
    for await (const { chunks } of readLogs(client, { jobId: "j", follow: true })) {
      for (const { content } of chunks) if (content.case === "data") text.push(Buffer.from(content.value).toString());
      if (text.length < 3) tracker.dropConnections();
    }
    expect(text).toEqual(["0", "10", "20"]);
    expect(asked).toEqual([
      [0, undefined, undefined],
      [3, "fromPosition", 10n],
      [3, "fromPosition", 20n],
    ]);
  });

  it("or ends before the job has, is opened again", async () => {
    let opened = 0;
    const states = [JobState.RUNNING, JobState.SUCCEEDED];
    const tracker = await Scripted.start({
      watchJob: async function* (request) {
        expect(request.afterVersion).toBe(BigInt(opened));
        const state = states[opened++] ?? JobState.FAILED;
        yield { job: { jobId: "j", state, version: BigInt(opened) } };
      },
    });
    const seen: JobState[] = [];
    for await (const job of watchJob(await open(tracker.url), "j")) seen.push(job.state);
    expect(seen).toEqual(states);
  });

  it("of all jobs continues after the last version; if that is too old, all jobs are sent again", async () => {
    const asked: bigint[] = [];
    const tracker = await Scripted.start({
      watchJobs: async function* ({ afterVersion }, context) {
        asked.push(afterVersion);
        if (asked.length === 3) throw new ConnectError("too old", Code.Aborted);
        if (afterVersion === 0n) yield { version: 0n, change: { case: "job", value: { jobId: "j" } } };
        yield { version: 7n, change: { case: "synced", value: true } };
        // A tracker that stops may end it cleanly; that is no end, either.
        if (asked.length > 1) await once(context.signal, "abort");
      },
    });
    const received: string[] = [];
    const over = new AbortController();
    const outages: boolean[] = [];
    const onOutage = (outage: Outage | undefined): void => void outages.push(outage !== undefined);
    for await (const answer of watchJobs(await open(tracker.url), {}, { signal: over.signal, onOutage })) {
      received.push(answer === "snapshot" ? answer : (answer.change.case ?? ""));
      if (received.length === 4) tracker.dropConnections();
      if (received.length === 7) over.abort();
    }
    expect(asked).toEqual([0n, 7n, 7n, 0n]);
    expect(received).toEqual(["snapshot", "job", "synced", "synced", "snapshot", "job", "synced"]);
    // Ended, back, lost, too old, back.
    expect(outages).toEqual([true, false, true, true, false]);
  });
});
