import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Client } from "@connectrpc/connect";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { JobService } from "../gen/belay/v1/job_service_pb.ts";
import type { Tracker, TrackerOptions } from "../tracker/options.ts";
import { startTracker } from "../tracker/server.ts";

/** Options of a tracker for tests: the options of any tracker, all with a default. */
export type TestTrackerOptions = Partial<TrackerOptions>;

/** A tracker for one test. */
export interface TestTracker {
  /** The address for agents and clients, such as `http://127.0.0.1:41234`. */
  readonly url: string;
  /** The tracker itself: reload its tokens, read its address. */
  readonly tracker: Tracker;
  /** Client of its JobService. */
  readonly client: Client<typeof JobService>;
  /** Its data directory. */
  readonly dataDirectory: string;
  /** Stops it and removes its data. Safe to call twice. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Starts a tracker in this process, on a free port, with a data directory that is removed on close (unless one was
 * given). Heartbeats come every 200 ms and a lease lasts 2 s, so that a test of a lost agent is short.
 *
 * ```ts
 * await using tracker = await startTestTracker();
 * await tracker.client.createJob({ jobId: "j1", spec: { command: ["true"] } });
 * ```
 */
export async function startTestTracker(options: TestTrackerOptions = {}): Promise<TestTracker> {
  const own = options.dataDirectory === undefined ? await mkdtemp(path.join(tmpdir(), "belay-test-")) : undefined;
  const dataDirectory = options.dataDirectory ?? own ?? "";
  const tracker = await startTracker({
    listen: "127.0.0.1:0",
    heartbeatInterval: 200,
    lease: 2_000,
    drainTimeout: 500,
    ...options,
    dataDirectory,
  });
  const session = new Http2SessionManager(tracker.address);
  const transport = createGrpcTransport({ baseUrl: tracker.address, sessionManager: session, acceptCompression: [] });
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= (async () => {
      session.abort();
      await tracker.close();
      if (own !== undefined) await rm(own, { recursive: true, force: true });
    })();
    return closing;
  };
  return {
    url: tracker.address,
    tracker,
    client: createClient(JobService, transport),
    dataDirectory,
    close,
    [Symbol.asyncDispose]: close,
  };
}
