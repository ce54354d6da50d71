import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { ConnectError, createContextValues, Code, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import { silentLogger } from "../../src/base/logger.ts";
import type { JobService } from "../../src/gen/belay/v1/job_service_pb.ts";
import {
  type OpenSessionRequest,
  OpenSessionRequestSchema,
  type OpenSessionResponse,
} from "../../src/gen/belay/v1/tracker_service_pb.ts";
import { jobService } from "../../src/tracker/control/job-service.ts";
import { Deadlines } from "../../src/tracker/jobs/deadlines/deadlines.ts";
import { expire } from "../../src/tracker/jobs/deadlines/expiry.ts";
import { JobChanges } from "../../src/tracker/jobs/job-changes.ts";
import { Leases } from "../../src/tracker/jobs/deadlines/leases.ts";
import { JobRegistry } from "../../src/tracker/jobs/registry.ts";
import { SessionService } from "../../src/tracker/sessions/session-service.ts";
import { openStore } from "../../src/tracker/store/open-store.ts";
import type { Store } from "../../src/tracker/store/types.ts";
import type { ManualClock } from "./manual-clock.ts";

/** Longest time for an answer, on a machine whose disk is busy. Usual is a millisecond. */
const ANSWER_MS = 10_000;

/** Times of the tracker. Milliseconds. */
export const TIMES: Readonly<Record<"heartbeat" | "lease" | "lostTimeout", number>> = {
  heartbeat: 10_000,
  lease: 30_000,
  lostTimeout: 300_000,
};

/**
 * A tracker without its network: the services themselves, with their store, on a clock of the test's own. As
 * `startTracker` puts them together.
 */
export class InProcessTracker {
  readonly registry: JobRegistry;
  readonly changes: JobChanges;
  readonly store: Store;
  readonly jobs: ServiceImpl<typeof JobService>;
  private readonly clock: ManualClock;
  private readonly sessions: SessionService;
  private readonly leases: Leases;
  private readonly deadlines: Deadlines;

  private constructor(directory: string, clock: ManualClock) {
    this.clock = clock;
    const logger = silentLogger;
    const { lease, lostTimeout } = TIMES;
    const store = (this.store = openStore(directory, logger, { durability: "process", logLimit: 0 }));
    const changes = (this.changes = new JobChanges(store.highest.version));
    const registry = (this.registry = new JobRegistry({ store, clock, changes, logger, lostTimeout }));
    const context = { registry, store, clock };
    this.deadlines = new Deadlines({
      ...context,
      changes,
      logger,
      lease,
      lostTimeout,
      expire: (live) => expire(context, live),
    });
    this.leases = new Leases(context, lease, logger);
    const callerOf = () => ({ principal: "", cut: () => undefined });
    this.sessions = new SessionService({
      ...context,
      leases: this.leases,
      logger,
      heartbeatInterval: TIMES.heartbeat,
      trackerVersion: "test",
      exportsSpans: false,
      specBytes: 65_536,
      callerOf,
    });
    this.jobs = jobService({ ...context, changes, callerOf, specBytes: 65_536, keepaliveInterval: 0 });
  }

  static async start(directory: string, clock: ManualClock): Promise<InProcessTracker> {
    const tracker = new InProcessTracker(directory, clock);
    const open = await tracker.registry.open();
    for (const live of open) if (live.usesLog) tracker.leases.grant(live);
    await tracker.deadlines.restore(open);
    return tracker;
  }

  /** Opens a stream of an agent. */
  openSession(): InProcessStream {
    const { openSession } = this.sessions.implementation;
    if (openSession === undefined) throw new Error("The service has no OpenSession");
    return new InProcessStream((requests, call) => openSession(requests, call) as AsyncIterable<OpenSessionResponse>);
  }

  /** A caller of JobService. */
  get caller(): HandlerContext {
    return callOf(new AbortController().signal);
  }

  /** Lets time pass, timer by timer, and whatever each of them causes come to rest. */
  async pass(ms: number): Promise<void> {
    const end = this.clock.now() + ms;
    for (;;) {
      const left = end - this.clock.now();
      const next = this.clock.untilNext ?? left;
      this.clock.advance(Math.min(next, left));
      await rest();
      if (next >= left) return;
    }
  }

  /** Waits until something holds that needs no more time of the clock. @throws if it does not */
  async until(holds: () => Promise<boolean>, what: string): Promise<void> {
    const start = performance.now();
    while (!(await holds())) {
      if (performance.now() - start > ANSWER_MS) throw new Error(`It never holds: ${what}`);
      this.clock.advance(0);
      await rest();
    }
  }

  /** Ends the tracker. Streams must have ended. */
  async close(): Promise<void> {
    this.sessions.drain();
    await rest();
    this.leases.close();
    await this.deadlines.close();
    for (const live of this.registry.inMemory()) await live.releaseLog();
    await this.store.close();
  }
}

/** Waits until nothing is done any more that does not wait for the clock, a message or a file. */
export async function rest(): Promise<void> {
  for (let i = 0; i < 8; i++) await new Promise((resolve) => setImmediate(resolve));
}

type Payload = NonNullable<MessageInitShape<typeof OpenSessionRequestSchema>["payload"]>;
type Handler = (
  requests: AsyncIterable<OpenSessionRequest>,
  call: HandlerContext,
) => AsyncIterable<OpenSessionResponse>;

/** One stream of an agent, without a network. */
export class InProcessStream {
  /** In order of arrival. */
  readonly received: OpenSessionResponse["payload"][] = [];
  /** How it ended. Undefined: it is open. */
  end: { readonly code: Code | 0; readonly message: string } | undefined;
  private readonly abort = new AbortController();
  private readonly requests: OpenSessionRequest[] = [];
  private wake: (() => void) | undefined;
  private closed = false;

  constructor(handler: Handler) {
    void this.read(handler(this.outgoing(), callOf(this.abort.signal)));
  }

  send(payload: Payload): void {
    this.requests.push(create(OpenSessionRequestSchema, { payload }));
    this.wake?.();
  }

  /** Ends the agent's direction. */
  halfClose(): void {
    this.closed = true;
    this.wake?.();
  }

  /** Breaks the stream, as a network that is cut. */
  break(): void {
    this.abort.abort(new ConnectError("The stream was cut", Code.Canceled));
    this.wake?.();
  }

  /** Waits until something holds, or the stream has ended. @throws if neither comes, whatever is done for it */
  async until(holds: () => boolean): Promise<void> {
    const start = performance.now();
    while (!holds() && this.end === undefined) {
      if (performance.now() - start > ANSWER_MS) throw new Error("The tracker does not answer");
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  private async read(responses: AsyncIterable<OpenSessionResponse>): Promise<void> {
    let end: InProcessStream["end"] = { code: 0, message: "" };
    try {
      for await (const { payload } of responses) this.received.push(payload);
    } catch (error) {
      const { code, rawMessage } = ConnectError.from(error);
      end = { code, message: rawMessage };
    }
    this.break();
    this.end = end;
  }

  private async *outgoing(): AsyncGenerator<OpenSessionRequest, void> {
    for (;;) {
      this.abort.signal.throwIfAborted();
      const next = this.requests.shift();
      if (next !== undefined) yield next;
      else if (this.closed) return;
      else await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }
}

function callOf(signal: AbortSignal): HandlerContext {
  return { signal, values: createContextValues() } as HandlerContext;
}
