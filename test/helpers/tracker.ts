import { createClient } from "@connectrpc/connect";
import type { Client, Interceptor } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { JobService } from "../../src/gen/belay/v1/job_service_pb.ts";
import { startTestTracker, type TestTrackerOptions } from "../../src/testing/index.ts";
import type { Tracker } from "../../src/tracker/options.ts";

/** A tracker for one test, with a client of its JobService. Both are closed when the test is over. */
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

/** Starts a tracker of src/testing with the default heartbeats and leases; it is closed when the test is over. */
export async function testTracker(
  options: TestTrackerOptions = {},
  protocol: Protocol = "Connect",
): Promise<TestTracker> {
  const heartbeatInterval = options.heartbeatInterval ?? 10_000;
  const lease = options.lease ?? Math.max(30_000, 3 * heartbeatInterval);
  const started = await startTestTracker({ ...options, heartbeatInterval, lease });
  onTestFinished(() => started.close());
  const { tracker, url, dataDirectory } = started;
  return { tracker, address: url, dataDirectory, jobs: jobClient(url, undefined, protocol) };
}

/** Protocols of clients. The tracker serves streams of plain gRPC with code of its own, so both are tested. */
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

/** Spec of a job that needs no particular command. */
export const someSpec: { name: string; command: string[] } = { name: "some", command: ["true"] };
