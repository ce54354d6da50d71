import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { createContextValues, type HandlerContext } from "@connectrpc/connect";
import { onTestFinished } from "vitest";
import { type Clock, systemClock } from "../../../src/base/clock.ts";
import { silentLogger } from "../../../src/base/logger.ts";
import type { OpenSessionRequest, OpenSessionResponse } from "../../../src/gen/belay/v1/tracker_service_pb.ts";
import { OpenSessionRequestSchema } from "../../../src/gen/belay/v1/tracker_service_pb.ts";
import { JobChanges } from "../../../src/tracker/jobs/job-changes.ts";
import { Leases } from "../../../src/tracker/jobs/deadlines/leases.ts";
import { JobRegistry } from "../../../src/tracker/jobs/registry.ts";
import { SessionService } from "../../../src/tracker/sessions/session-service.ts";
import { openStore } from "../../../src/tracker/store/open-store.ts";
import type { Store } from "../../../src/tracker/store/types.ts";
import { someSpec, testDirectory } from "../../helpers/tracker.ts";

type Request = NonNullable<MessageInitShape<typeof OpenSessionRequestSchema>["payload"]>;
type Response = OpenSessionResponse["payload"];

/** The service of agents with a store of its own, without network or port, so that a test decides what it waits for. */
export interface AService {
  readonly store: Store;
  readonly registry: JobRegistry;
  /** Begins a stream of a session of job "j". */
  readonly open: (sessionId: string) => AStream;
}

/** Starts the service for one test. Heartbeats come every second, and a lease lasts a minute. */
export async function aService(clock: Clock = systemClock): Promise<AService> {
  const store = openStore(await testDirectory(), silentLogger, { durability: "process", logLimit: 0 });
  const changes = new JobChanges(store.highest.version);
  const registry = new JobRegistry({ store, clock, changes, lostTimeout: 0, logger: silentLogger });
  const jobs = { registry, store, clock };
  const leases = new Leases(jobs, 60_000, silentLogger);
  const service = new SessionService({
    ...jobs,
    leases,
    logger: silentLogger,
    heartbeatInterval: 1000,
    trackerVersion: "0",
    exportsSpans: false,
    specBytes: 1e6,
    callerOf: () => ({ principal: "", cut: () => undefined }),
  });
  const streams: AStream[] = [];
  onTestFinished(async () => {
    for (const stream of streams) stream.breakOff();
    leases.close();
    for (const live of registry.inMemory()) await live.releaseLog();
    await store.close();
  });
  const open = (sessionId: string): AStream => {
    const stream = new AStream(service, sessionId);
    streams.push(stream);
    return stream;
  };
  return { store, registry, open };
}

/** One stream, from the agent's side. */
export class AStream {
  private readonly answers: AsyncIterator<OpenSessionResponse>;
  private readonly broken = new AbortController();
  private readonly unread: OpenSessionRequest[] = [];
  private wake: (() => void) | undefined;

  constructor(service: SessionService, sessionId: string) {
    const context = { values: createContextValues(), signal: this.broken.signal } as HandlerContext;
    const answers = service.implementation.openSession?.(this.requests(), context);
    this.answers = (answers as AsyncIterable<OpenSessionResponse>)[Symbol.asyncIterator]();
    this.send({ case: "hello", value: { jobId: "j", sessionId, spec: someSpec } });
  }

  send(payload: Request): void {
    this.unread.push(create(OpenSessionRequestSchema, { payload }));
    this.wake?.();
  }

  /** The next message from the tracker. Undefined: the stream has ended. */
  async next(): Promise<Response | undefined> {
    const next = await this.answers.next();
    return next.done === true ? undefined : next.value.payload;
  }

  /** The connection breaks. */
  breakOff(): void {
    this.broken.abort();
  }

  private async *requests(): AsyncGenerator<OpenSessionRequest, void> {
    for (;;) {
      const next = this.unread.shift();
      if (next !== undefined) yield next;
      else await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }
}
