import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { Code, ConnectError } from "@connectrpc/connect";
import { create, toBinary } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { within } from "../../base/deadline.ts";
import { messageOf } from "../../base/errors.ts";
import { idProblem } from "../../base/ids.ts";
import { KiB, MiB } from "../../base/text/sizes.ts";
import type { JobSpec } from "../../gen/belay/v1/job_pb.ts";
import { AgentInfoSchema } from "../../gen/belay/v1/job_pb.ts";
import type {
  Hello,
  OpenSessionRequest,
  OpenSessionResponse,
  TrackerService,
} from "../../gen/belay/v1/tracker_service_pb.ts";
import { GoodbyeReason, OpenSessionResponseSchema, WelcomeSchema } from "../../gen/belay/v1/tracker_service_pb.ts";
import { admit } from "../jobs/admit.ts";
import { SAME } from "../jobs/changed-parts.ts";
import type { ChangedParts } from "../jobs/changed-parts.ts";
import { pendingFor } from "../jobs/commands.ts";
import { isLogUndecided } from "../jobs/ending.ts";
import type { LiveJob } from "../jobs/live-job.ts";
import { specProblem } from "../jobs/spec.ts";
import { traceParentForJob } from "../jobs/trace.ts";
import type { CallerFacts } from "../net/caller.ts";
import { asRefusal } from "./refusal.ts";
import { type SessionPort, sessionPort } from "./session-port.ts";
import type { StreamContext } from "./session-stream.ts";
import { SessionStream } from "./session-stream.ts";
import { FEATURES } from "../../contract/features.ts";
import { stateName } from "../../contract/names.ts";
import { RETRY_DELAY_TRAILER } from "../../contract/trailers.ts";

/** Largest message that is accepted from an agent. */
export const MAX_MESSAGE_BYTES: number = 4 * MiB;
/** Bytes that an agent may have sent without an ack. */
const MAX_UNACKNOWLEDGED_BYTES = 4 * MiB;
/** Most bytes of an agent's description of itself, which is shown with each of its attempts. */
const MAX_AGENT_BYTES = 64 * KiB;
/** Time for the first message of a stream. */
const HELLO_TIMEOUT_MS = 10_000;
/** Heartbeat intervals without a message after which a stream counts as dead. */
const SILENT_INTERVALS = 3;

/** The dependencies and settings of the service. */
export interface SessionContext extends StreamContext {
  /** Milliseconds. */
  readonly heartbeatInterval: number;
  readonly trackerVersion: string;
  /** Whether spans are exported: a job's TRACEPARENT is then the span of its attempt. */
  readonly exportsSpans: boolean;
  /** Most bytes of a spec. */
  readonly specBytes: number;
  /** Identifies the caller, and can cut its connection. */
  callerOf(context: HandlerContext): CallerFacts;
}

/** TrackerService: the calls of agents. */
export class SessionService {
  private readonly context: SessionContext;
  private readonly streams = new Set<SessionStream>();
  private draining = false;

  constructor(context: SessionContext) {
    this.context = context;
    context.store.condition.onChange(() => {
      for (const stream of this.streams) stream.storeChanged();
    });
  }

  get implementation(): Partial<ServiceImpl<typeof TrackerService>> {
    return { openSession: (requests, context) => this.openSession(requests, context) };
  }

  /** Sends Goodbye on all streams; each ends once that is sent. */
  drain(): void {
    this.draining = true;
    for (const stream of this.streams) stream.goodbye(GoodbyeReason.DRAINING, "The tracker stops");
  }

  private async *openSession(
    requests: AsyncIterable<OpenSessionRequest>,
    context: HandlerContext,
  ): AsyncGenerator<OpenSessionResponse, void> {
    const { leases, logger, clock } = this.context;
    const port = sessionPort(requests, context.values);
    const hello = await this.readHello(port);
    const caller = this.context.callerOf(context);
    checkScope(caller, hello);
    const live = await this.findJob(hello);
    if (this.draining) throw new ConnectError("The tracker stops", Code.Unavailable);
    const now = clock.now();
    const facts = { job: live.id, session: hello.sessionId };
    let parts: ChangedParts | undefined;
    try {
      parts = admit(live, { hello, principal: caller.principal, now, leaseLeft: leases.left(live) });
    } catch (error) {
      // An agent whose job waits asks again every few seconds.
      const isEarly = ConnectError.from(error).metadata.has(RETRY_DELAY_TRAILER);
      logger[isEarly ? "debug" : "warn"]("Session refused", { ...facts, why: messageOf(error) });
      throw error;
    }
    live.attaching++;
    const stream = await this.attach(live, hello, parts)
      .finally(() => live.attaching--)
      .catch(async (error: unknown) => {
        if (live.stream === undefined) live.disconnectedAt ??= now;
        await this.context.registry.settle(live);
        throw error;
      });
    logger.info("Session opened", { ...facts, attempt: live.attempt?.attempt });
    const end = this.watchOver(stream, context, caller);
    try {
      yield this.welcome(stream, live, hello);
      if (live.attempt?.result !== undefined) {
        await stream.tryReceipt(!isLogUndecided(live) && hello.lowestLogSequence === 0n);
      }
      void stream.receive(port);
      yield* port.send(stream.outbox);
    } finally {
      end();
      logger.info("Stream of a session ended", { ...facts, state: stateName(live.job.state) });
    }
  }

  private async readHello(port: SessionPort): Promise<Hello> {
    const late = (): never => {
      throw new ConnectError("No Hello within 10 s", Code.DeadlineExceeded);
    };
    try {
      const first = await within(HELLO_TIMEOUT_MS, port.next(), late, this.context.clock);
      const payload = first?.message.payload;
      if (payload?.case !== "hello") {
        const found = payload === undefined ? "the end of the stream" : (payload.case ?? "an unknown message");
        throw new ConnectError(`Expected Hello as the first message, found ${found}`, Code.InvalidArgument);
      }
      checkHello(payload.value, this.context.specBytes);
      return payload.value;
    } catch (error) {
      throw asRefusal(error);
    }
  }

  private async findJob(hello: Hello): Promise<LiveJob> {
    const { registry } = this.context;
    if (hello.spec === undefined) return registry.get(hello.jobId);
    const { spec, shownSpec } = hello;
    const [live] = await registry.create(hello.jobId, { spec, shownSpec }, "takes");
    return live;
  }

  /**
   * Makes a stream the job's current one, and waits until what was accepted before is stored. Whatever is awaited lets
   * other streams and calls run in between:
   *
   * 1. Before anything is awaited, the older stream ends and the lease begins. So while the change is stored, the job
   *    cannot be lost for want of messages, and no older stream changes it.
   * 2. The change is stored, the log opened, and what was accepted of it written, so that Welcome confirms all of it.
   *    Meanwhile another stream of this session may have become current, another session may have the job, or the job
   *    may have been deleted.
   * 3. If it was deleted, or another session has it, this stream is refused. If another stream of this session is
   *    current, that one ends: the agent has given it up, or it would not have called again.
   * 4. What the agent no longer has is skipped and that is written, so that Welcome confirms it too. Nothing was
   *    awaited since 3, so no other stream writes to the log. All that may happen in 2 may again happen while this is
   *    written, and ends as in 3.
   * 5. This stream is current. A newer one may end it while the lease is renewed; then Goodbye follows its Welcome.
   */
  private async attach(live: LiveJob, hello: Hello, parts: ChangedParts | undefined): Promise<SessionStream> {
    const { registry, store, leases } = this.context;
    const { gone } = store.condition;
    if (gone !== undefined) {
      throw new ConnectError(`The tracker cannot store what it receives: ${gone}`, Code.ResourceExhausted);
    }
    this.replace(live);
    leases.grant(live);
    const attempt = live.attempt?.attempt ?? 0;
    if (parts !== undefined) await registry.commit(live, parts);
    this.checkHas(live);
    const log = await live.openLog((number) => store.log(live.key, number));
    await log.flush();
    if (live.attempt?.attempt !== attempt || live.attempt.sessionId !== hello.sessionId) {
      throw new ConnectError(`Job "${live.id}" was taken over`, Code.FailedPrecondition);
    }
    this.replace(live);
    const stream = new SessionStream(this.context, live, hello, attempt, log);
    stream.skipLost();
    await log.flush();
    this.replace(live);
    live.stream = stream;
    const isBack = hello.attempt > 0 || live.disconnectedAt !== undefined;
    live.disconnectedAt = undefined;
    this.streams.add(stream);
    await leases.renew(live);
    // Watchers were notified of a return above, while there was no stream. The registry reports and handles a failure.
    if (isBack) registry.commit(live, SAME).catch(() => undefined);
    return stream;
  }

  /** Makes room for a stream: the older one of the session ends. @throws ConnectError as `checkHas` */
  private replace(live: LiveJob): void {
    this.checkHas(live);
    live.stream?.goodbye(GoodbyeReason.REPLACED, "A newer stream of the session has taken over");
    live.stream = undefined;
  }

  /** @throws ConnectError ABORTED if the job is no longer this object. The agent's next stream finds what there is now */
  private checkHas(live: LiveJob): void {
    if (this.context.registry.has(live)) return;
    throw new ConnectError(`Job "${live.id}" was deleted or loaded again while the stream was opened`, Code.Aborted);
  }

  private welcome(stream: SessionStream, live: LiveJob, hello: Hello): OpenSessionResponse {
    const { registry, clock, leases, heartbeatInterval, trackerVersion } = this.context;
    const { commands, rejected } = pendingFor(live, stream, clock.now());
    if (rejected.length > 0) registry.commit(live, { commands: rejected, urgent: true }).catch(() => undefined);
    const spec: JobSpec | undefined = hello.spec === undefined ? live.job.spec : undefined;
    const value = create(WelcomeSchema, {
      attempt: live.attempt?.attempt ?? 0,
      committed: stream.committed(),
      heartbeatInterval: durationFromMs(heartbeatInterval),
      leaseDuration: durationFromMs(leases.duration),
      limits: { maxMessageBytes: MAX_MESSAGE_BYTES, maxUnacknowledgedBytes: MAX_UNACKNOWLEDGED_BYTES },
      commands,
      trackerVersion,
      sendTime: timestampFromMs(clock.now()),
      ...(spec === undefined ? {} : { spec }),
      ...(live.job.spec?.retry === undefined ? {} : { retry: live.job.spec.retry }),
      features: [...FEATURES],
      traceParent: traceParentForJob(live.job, live.attempt?.attempt ?? 0, this.context.exportsSpans),
    });
    return create(OpenSessionResponseSchema, { payload: { case: "welcome", value } });
  }

  /**
   * Ends the stream when the client has gone or is silent. The handler alone cannot do that: if the client goes while
   * we wait for it to read, connect-node never returns to the handler.
   *
   * @returns a function that ends the watch and detaches the stream
   */
  private watchOver(stream: SessionStream, context: HandlerContext, caller: CallerFacts): () => void {
    const { heartbeatInterval } = this.context;
    const patience = heartbeatInterval * SILENT_INTERVALS;
    let over = false;
    let timer = stream.silence.after(patience, heartbeatInterval, check);
    const end = (): void => {
      if (over) return;
      over = true;
      timer.cancel();
      context.signal.removeEventListener("abort", end);
      this.streams.delete(stream);
      void stream.detach(!this.draining);
      stream.outbox.end();
    };
    context.signal.addEventListener("abort", end, { once: true });
    if (context.signal.aborted) end();
    return end;

    function check(): void {
      const left = patience - stream.silence.duration;
      if (left > 0 || stream.holding) {
        // While we hold the stream, its silence may go on for long: that needs no check every millisecond.
        timer = stream.silence.after(Math.max(left, stream.holding ? heartbeatInterval : 1), heartbeatInterval, check);
        return;
      }
      stream.fail(new ConnectError("No message from the agent for three heartbeat intervals", Code.DeadlineExceeded));
      end();
      caller.cut();
    }
  }
}

/** A signed token is valid for one job only. */
function checkScope({ jobId }: CallerFacts, hello: Hello): void {
  if (jobId === undefined || jobId === hello.jobId) return;
  throw new ConnectError(`The token is for job "${jobId}", not for "${hello.jobId}"`, Code.PermissionDenied);
}

function checkHello(hello: Hello, specBytes: number): void {
  const problem = idProblem(hello.jobId);
  if (problem !== undefined) throw new ConnectError(`Bad job_id ${problem}`, Code.InvalidArgument);
  const length = Buffer.byteLength(hello.sessionId);
  if (length === 0 || length > 128) {
    throw new ConnectError(`Bad session_id: it has ${length} bytes, expected 1 to 128`, Code.InvalidArgument);
  }
  const bytes = hello.agent === undefined ? 0 : toBinary(AgentInfoSchema, hello.agent).byteLength;
  if (bytes > MAX_AGENT_BYTES) {
    throw new ConnectError(
      `Bad agent: it has ${bytes} bytes, expected at most ${MAX_AGENT_BYTES}`,
      Code.InvalidArgument,
    );
  }
  const wrong = hello.spec === undefined ? undefined : specProblem(hello.spec, specBytes);
  if (wrong !== undefined) throw new ConnectError(`Bad spec: ${wrong}`, Code.InvalidArgument);
}
