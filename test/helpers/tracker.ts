import { createClient } from "@connectrpc/connect";
import type { Client, Interceptor } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { Job, JobState, LogStream } from "../../src/gen/belay/v1/job_pb.ts";
import { JobService } from "../../src/gen/belay/v1/job_service_pb.ts";
import type { Tracker, TrackerOptions } from "../../src/tracker/options.ts";
import { startTracker } from "../../src/tracker/server.ts";

/** A tracker for one test, with a client for its control side. Both go when the test is over. */
export interface TestTracker {
  readonly tracker: Tracker;
  readonly jobs: Client<typeof JobService>;
  readonly address: string;
  readonly dataDirectory: string;
}

/** A directory for one test. */
export async function testDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "belay-test-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

export async function testTracker(
  options: Partial<TrackerOptions> = {},
  protocol: Protocol = "Connect",
): Promise<TestTracker> {
  const dataDirectory = options.dataDirectory ?? (await testDirectory());
  const tracker = await startTracker({ listen: "127.0.0.1:0", drainTimeout: 500, ...options, dataDirectory });
  onTestFinished(() => tracker.close());
  return { tracker, address: tracker.address, dataDirectory, jobs: jobClient(tracker.address, undefined, protocol) };
}

/** How clients and tracker may speak; the tracker serves streams of plain gRPC in a way of its own. */
export type Protocol = "gRPC" | "Connect";

/** A client of JobService over HTTP/2. */
export function jobClient(address: string, token?: string, protocol: Protocol = "Connect"): Client<typeof JobService> {
  const authorize: Interceptor = (next) => (request) => {
    if (token !== undefined) request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
  const options = { baseUrl: address, interceptors: [authorize] };
  const transport =
    protocol === "gRPC" ? createGrpcTransport(options) : createConnectTransport({ ...options, httpVersion: "2" });
  return createClient(JobService, transport);
}

/** A job that runs nothing in particular. */
export const someSpec: { name: string; command: string[] } = { name: "some", command: ["true"] };

/** Watches a job until it is as wanted. */
export async function untilJob(
  jobs: Client<typeof JobService>,
  jobId: string,
  wanted: (job: Job) => boolean,
): Promise<Job> {
  let last: Job | undefined;
  for await (const { job } of jobs.watchJob({ jobId })) {
    last = job;
    if (job !== undefined && wanted(job)) return job;
  }
  throw new Error(`The watch ended at state ${last?.state}`);
}

/** Watches a job until it is in a state. */
export function untilState(jobs: Client<typeof JobService>, jobId: string, state: JobState): Promise<Job> {
  return untilJob(jobs, jobId, (job) => job.state === state);
}

/** Reads a log to its end. */
export async function readLog(
  jobs: Client<typeof JobService>,
  request: Parameters<Client<typeof JobService>["readLogs"]>[0] & { streams?: LogStream[] },
): Promise<string> {
  const parts: Uint8Array[] = [];
  for await (const { chunks } of jobs.readLogs(request)) {
    for (const { content } of chunks) if (content.case === "data") parts.push(content.value);
  }
  return Buffer.concat(parts).toString("latin1");
}
