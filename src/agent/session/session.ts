import { create } from "@bufbuild/protobuf";
import { durationFromMs, durationMs } from "@bufbuild/protobuf/wkt";
import { status } from "@grpc/grpc-js";
import { backoffDelay } from "../../base/backoff.ts";
import { type Clock, sleep } from "../../base/clock.ts";
import { formatDuration } from "../../base/durations.ts";
import { BelayError, messageOf } from "../../base/errors.ts";
import type { Logger } from "../../base/logger.ts";
import type { TrackerAddress } from "../../base/tracker-address.ts";
import {
  type AgentInfo,
  CommandKind,
  type Heartbeat,
  HeartbeatSchema,
  type JobState,
} from "../../gen/belay/v1/job_pb.ts";
import type { JobSpec } from "../../gen/belay/v1/job_pb.ts";
import {
  type Command,
  GoodbyeReason,
  type Hello,
  HelloSchema,
  type Receipt,
  type Welcome,
} from "../../gen/belay/v1/tracker_service_pb.ts";
import type { TransportSecurity } from "../options.ts";
import { LANES, type Spool } from "../report/spool.ts";
import { dial, type Dialed, MAX_MESSAGE_BYTES } from "./dial.ts";
import { StallMeter } from "./stall-meter.ts";
import { Scout } from "./scout.ts";
import { Stream, type StreamEnd } from "./stream.ts";
import { verdictOn } from "./verdict.ts";

const BACKOFF = { base: 500, cap: 30_000 };
/** A transport that is not up after this time makes the scout look whether it ever could be. Milliseconds. */
const SLOW_DIAL = 1000;
/** Agents that find the way open again in the same second are spread over this time, in milliseconds. */
const SPREAD = 500;
/** What the system says when there was no connection at all; anything else came later. */
const SHUT = /\b(ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|ENOENT|ENOTFOUND|EAI_AGAIN)\b/;
/** A stream that was open for this long shows that all is well: back-off starts anew. Milliseconds. */
const HEALTHY_AFTER = 60_000;
/** Failures that count on after a stream that was welcomed: the tracker is there, so the next try comes soon. */
const FAILURES_AFTER_WELCOME = 1;
/** Codes that say no more than the message with them. */
const QUIET_CODES: ReadonlySet<status> = new Set([status.UNAVAILABLE, status.UNKNOWN, status.DEADLINE_EXCEEDED]);
/** A tracker that has committed everything but sends no Receipt within this time will not send one. Milliseconds. */
const RECEIPT_PATIENCE = 5000;

const COMMANDS = [CommandKind.CANCEL, CommandKind.STATUS, CommandKind.SIGNAL, CommandKind.PAUSE, CommandKind.RESUME];

/** What a session is doing. */
export type SessionState =
  /** Left when the transport is up (greeting) or fails (waiting). */
  | { readonly kind: "dialing"; readonly address: string }
  /** Hello is sent. Left by Welcome (open), or the end of the stream (waiting, closed). */
  | { readonly kind: "greeting"; readonly address: string }
  /** Left by the end of the stream (waiting, closed) or by the job's end (draining). */
  | { readonly kind: "open"; readonly address: string }
  /** The job has ended; records and Receipt are under way. Left by the Receipt (closed) or a lost stream (waiting). */
  | { readonly kind: "draining"; readonly address: string }
  /** Between two streams. Left when the time has come, or the way was shut and is open again (dialing). */
  | { readonly kind: "waiting"; readonly until: number; readonly why: string }
  /** Never left. */
  | { readonly kind: "closed"; readonly end: SessionEnd };

/** How a session ended. */
export type SessionEnd =
  /** Everything is committed. Without a Receipt if the tracker never sent one. */
  | { readonly kind: "delivered"; readonly receipt: Receipt | undefined }
  /** The tracker will not have us. */
  | { readonly kind: "refused" | "fenced"; readonly error: BelayError }
  /** Nobody let us in in time. */
  | { readonly kind: "unreachable"; readonly error: BelayError }
  /** `close` was called. */
  | { readonly kind: "abandoned"; readonly why: string };

/** Who a session is. */
export interface SessionIdentity {
  readonly sessionId: string;
  readonly jobId: string;
  readonly agent: AgentInfo;
  readonly spec: JobSpec | undefined;
  /** Attempt that an agent before had under this session id. @default 0: none yet */
  readonly attempt?: number;
  /** It delivers what a dead agent left, and this machine will run the next attempt: see Hello. @default false */
  readonly nextAttemptFollows?: boolean;
}

/** What a session tells its owner. */
export interface SessionHandlers {
  /** State of the job, for Hello and heartbeats. */
  jobState(): JobState;
  command(command: Command): void;
  /** A stream is open. */
  connected(address: string, first: boolean): void;
  /** A stream was lost; the next is dialed after some milliseconds. */
  lost(why: string, retryIn: number): void;
  /** The attempt was taken over or the job ended: kill it. */
  fenced(message: string): void;
}

/** How a session fares, for whoever asks. */
export interface SessionHealth {
  readonly state: SessionState;
  /** Whether a tracker has welcomed the stream that is open. */
  readonly connected: boolean;
  /** 0: none yet. */
  readonly attempt: number;
  /** Dialed so far, the current one included. */
  readonly streams: number;
  /** Longest time for which the event loop stood still within about two heartbeats. Milliseconds. */
  readonly loopDelay: number;
}

/** Options of a session. */
export interface SessionOptions {
  readonly identity: SessionIdentity;
  readonly addresses: readonly TrackerAddress[];
  readonly security: TransportSecurity;
  /** Milliseconds to the first Welcome. 0: no bound. */
  readonly connectTimeout: number;
  readonly spool: Spool;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly handlers: SessionHandlers;
}

/**
 * An agent's line to its tracker: one stream after the other until everything is delivered or the tracker says no.
 *
 * Its law: while it is not closed, either a stream is open, or the next is being made or waited for.
 */
export class Session {
  /** The first Welcome. Rejects with a BelayError when there will be none. */
  readonly admitted: Promise<Welcome>;
  private readonly admit: PromiseWithResolvers<Welcome>;
  private readonly options: SessionOptions;
  private readonly stalls: StallMeter;
  private readonly scout: Scout;
  private readonly closing = new AbortController();
  private current: SessionState;
  private stream: Stream | undefined;
  private attempt: number;
  private turn = 0;
  /** An address that the scout has found open; where to dial next. */
  private opened: TrackerAddress | undefined;
  /** Ends the wait between two streams. */
  private waiting = new AbortController();
  private streams = 0;
  private failures = 0;
  private welcomed = false;
  private finishing = false;
  /** What the session was doing when its time to be admitted was over. */
  private timedOutIn: SessionState["kind"] | undefined;
  /** Everything is committed, and the tracker has confirmed it or will not. */
  private delivered = false;
  private receipt: Receipt | undefined;
  private receiptTimer: { cancel(): void } | undefined;
  private lastRefusal: StreamEnd | undefined;

  constructor(options: SessionOptions) {
    this.options = options;
    this.attempt = options.identity.attempt ?? 0;
    this.admit = Promise.withResolvers<Welcome>();
    this.admitted = this.admit.promise;
    this.admitted.catch(() => undefined);
    this.stalls = new StallMeter(options.clock);
    this.scout = new Scout(options.addresses, options.clock, (address) => this.wayIsOpen(address));
    this.current = { kind: "dialing", address: options.addresses[0]?.text ?? "" };
    options.spool.onPush = () => this.stream?.pump();
  }

  get state(): SessionState {
    return this.current;
  }

  /** For whoever asks. */
  get health(): SessionHealth {
    const { current: state, attempt, streams } = this;
    const connected = state.kind === "open" || state.kind === "draining";
    return { state, connected, attempt, streams, loopDelay: this.stalls.recent };
  }

  /** Makes streams until the session is closed. Never rejects. */
  async run(): Promise<SessionEnd> {
    const { clock, connectTimeout } = this.options;
    this.stalls.start();
    const deadline = connectTimeout === 0 ? undefined : clock.after(connectTimeout, () => this.timeOut());
    let end: SessionEnd;
    try {
      end = await this.makeStreams();
    } catch (error) {
      const cause = error instanceof BelayError ? error : new BelayError("INTERNAL", String(error), { cause: error });
      end = { kind: "refused", error: cause };
    }
    deadline?.cancel();
    this.receiptTimer?.cancel();
    this.stalls.stop();
    this.scout.stop();
    this.setState({ kind: "closed", end });
    this.admit.reject("error" in end ? end.error : new BelayError("STOPPED", "why" in end ? end.why : "It has ended"));
    if (end.kind === "fenced") this.options.handlers.fenced(end.error.message);
    return end;
  }

  /** Says that the job's result and its whole log are in the spool: the session closes when they are delivered. */
  finish(): void {
    this.finishing = true;
    if (this.current.kind === "open") this.setState({ kind: "draining", address: this.current.address });
    this.progress();
  }

  /** Gives up. What is not committed stays in the spool. */
  close(why: string): void {
    this.closing.abort(why);
    this.stream?.destroy(why);
  }

  /** The agent's own state, as heartbeats carry it. */
  heartbeat(nonce: bigint): Heartbeat {
    const { spool, handlers, clock } = this.options;
    const [events, logs] = LANES.map((lane) => ({
      lastProduced: BigInt(spool.nextSequence(lane) - 1),
      lastCommitted: BigInt(spool.committed(lane)),
    }));
    return create(HeartbeatSchema, {
      nonce,
      state: handlers.jobState(),
      ...(events !== undefined && { events }),
      ...(logs !== undefined && { logs }),
      spoolMemoryBytes: BigInt(spool.memoryBytes),
      spoolDiskBytes: BigInt(spool.diskBytes),
      eventLoopDelay: durationFromMs(Math.round(this.stalls.take())),
      agentMemoryBytes: BigInt(process.memoryUsage.rss()),
      streams: this.streams,
      sendUnixNano: clock.unixNano(),
    });
  }

  private async makeStreams(): Promise<SessionEnd> {
    for (;;) {
      const address = this.nextAddress();
      this.setState({ kind: "dialing", address: address.text });
      const end = await this.oneStream(address);
      const over = this.judge(end, address);
      if (over !== undefined) return over;
      await this.waitAfter(end, address);
      if (this.closing.signal.aborted) return this.closed();
    }
  }

  /** The addresses in turn, but first the one that was found open. */
  private nextAddress(): TrackerAddress {
    const { addresses } = this.options;
    const found = this.opened;
    this.opened = undefined;
    if (found !== undefined) this.turn = addresses.indexOf(found);
    return addresses[this.turn++ % addresses.length] as TrackerAddress;
  }

  private async oneStream(address: TrackerAddress): Promise<StreamEnd> {
    const { spool, clock, identity, security, handlers } = this.options;
    this.streams++;
    let dialed: Dialed;
    try {
      dialed = await dial(address, security, identity.agent.version);
    } catch (error) {
      // A token that cannot be read before anything runs is the user's mistake; later it may be in rotation.
      if (!this.welcomed) throw error;
      const message = messageOf(error);
      return {
        code: status.UNAUTHENTICATED,
        message,
        welcomed: false,
        connected: true,
        openFor: 0,
        goodbye: undefined,
      };
    }
    this.stream = new Stream(dialed, spool, clock, {
      hello: () => this.hello(),
      heartbeat: (nonce) => this.heartbeat(nonce),
      connected: () => {
        slow.cancel();
        this.scout.stop();
        if (this.current.kind === "dialing") this.setState({ kind: "greeting", address: address.text });
      },
      welcome: (welcome) => this.welcome(welcome, address.text),
      command: (command) => handlers.command(command),
      receipt: (receipt) => {
        this.receipt = receipt;
        this.progress();
      },
      progress: () => this.progress(),
    });
    const slow = clock.after(SLOW_DIAL, () => this.scout.start());
    this.stream.start();
    if (this.closing.signal.aborted) this.stream.destroy("The session was closed");
    const end = await this.stream.done;
    slow.cancel();
    this.stream = undefined;
    return end;
  }

  private hello(): Hello {
    const { identity, spool, handlers } = this.options;
    return create(HelloSchema, {
      sessionId: identity.sessionId,
      jobId: identity.jobId,
      attempt: this.attempt,
      agent: identity.agent,
      // Once admitted the tracker has it.
      ...(identity.spec !== undefined && !this.welcomed && { spec: identity.spec }),
      supportedCommands: COMMANDS,
      lowestEventSequence: BigInt(spool.lowestHeld("events")),
      lowestLogSequence: BigInt(spool.lowestHeld("logs")),
      state: handlers.jobState(),
      maxMessageBytes: MAX_MESSAGE_BYTES,
      nextAttemptFollows: identity.nextAttemptFollows ?? false,
    });
  }

  private welcome(welcome: Welcome, address: string): void {
    const first = !this.welcomed;
    this.welcomed = true;
    this.attempt = welcome.attempt;
    this.setState({ kind: this.finishing ? "draining" : "open", address });
    this.options.handlers.connected(address, first);
    // The first time its commands are the owner's to take: there is no job yet.
    if (first) this.admit.resolve(welcome);
    else for (const command of welcome.commands) this.options.handlers.command(command);
  }

  /** Half-closes the stream when there is nothing left to be said or heard. */
  private progress(): void {
    if (!this.finishing || this.stream === undefined || this.current.kind !== "draining") return;
    const { spool, clock } = this.options;
    if (LANES.some((lane) => spool.lowestHeld(lane) !== 0)) return;
    if (this.receipt !== undefined) this.sayNoMore();
    else this.receiptTimer ??= clock.after(RECEIPT_PATIENCE, () => this.sayNoMore());
  }

  private sayNoMore(): void {
    this.delivered = true;
    this.stream?.halfClose();
  }

  private judge(end: StreamEnd, address: TrackerAddress): SessionEnd | undefined {
    const { identity } = this.options;
    if (this.delivered) return { kind: "delivered", receipt: this.receipt };
    if (this.closing.signal.aborted) return this.closed();
    this.lastRefusal = end;
    this.options.logger.debug("The stream ended", { address: address.text, code: status[end.code], why: end.message });
    const fenced = end.goodbye?.reason === GoodbyeReason.SUPERSEDED;
    const verdict = fenced ? "fenced" : verdictOn(end.code, this.welcomed);
    switch (verdict) {
      case "retry":
        return undefined;
      case "fenced": {
        const why = end.goodbye?.message || end.message;
        return { kind: "fenced", error: new BelayError("SUPERSEDED", `Job "${identity.jobId}" is not ours: ${why}`) };
      }
      case "refused": {
        const code = end.code === status.NOT_FOUND ? "NOT_FOUND" : "TRACKER_REFUSED";
        return { kind: "refused", error: new BelayError(code, this.refusal(end, address)) };
      }
    }
  }

  private refusal(end: StreamEnd, address: TrackerAddress): string {
    const why = `${end.message} (${status[end.code]})`;
    if (end.code === status.UNIMPLEMENTED) return `No tracker is at "${address.text}": ${why}`;
    return `The tracker at "${address.text}" refused job "${this.options.identity.jobId}": ${why}`;
  }

  private async waitAfter(end: StreamEnd, address: TrackerAddress): Promise<void> {
    const { clock, handlers, addresses } = this.options;
    if (end.welcomed)
      this.failures = end.openFor >= HEALTHY_AFTER ? 0 : Math.min(this.failures, FAILURES_AFTER_WELCOME);
    this.failures++;
    const asked = end.goodbye?.retryDelay;
    if (!end.connected) {
      if (SHUT.test(end.message)) this.scout.foundShut(address);
      this.scout.start();
    }
    // Another address gets its chance at once; back-off counts whole rounds.
    const round = Math.ceil(this.failures / addresses.length);
    const delay =
      this.opened !== undefined ? 0 : asked === undefined ? backoffDelay(round, BACKOFF) : durationMs(asked);
    if (this.welcomed || this.failures === 1) handlers.lost(end.message, delay);
    this.setState({ kind: "waiting", until: clock.now() + delay, why: end.message });
    this.waiting = new AbortController();
    await sleep(delay, AbortSignal.any([this.closing.signal, this.waiting.signal]));
    if (this.opened !== undefined) await sleep(Math.random() * SPREAD, this.closing.signal);
  }

  /** There was no way to an address, and now there is one. */
  private wayIsOpen(address: TrackerAddress): void {
    const { kind } = this.current;
    if (kind !== "waiting" && kind !== "dialing") return;
    this.options.logger.debug("The way to the tracker is open again", { address: address.text });
    this.opened = address;
    // What is being dialed waits for the kernel to repeat its SYN, which may take longer than starting anew.
    if (kind === "waiting") this.waiting.abort();
    else this.stream?.destroy("The way to the tracker is open again");
  }

  private timeOut(): void {
    if (this.welcomed) return;
    this.timedOutIn = this.current.kind;
    this.close(`not admitted within ${formatDuration(this.options.connectTimeout)}`);
  }

  private closed(): SessionEnd {
    const why = String(this.closing.signal.reason);
    if (this.timedOutIn === undefined) return { kind: "abandoned", why };
    const { addresses, identity, connectTimeout } = this.options;
    const last = this.lastRefusal;
    const within = `within ${formatDuration(connectTimeout)}`;
    if (last?.code === status.ALREADY_EXISTS) {
      const message = `Job "${identity.jobId}" was not free ${within}: ${last.message}`;
      return { kind: "unreachable", error: new BelayError("JOB_TAKEN", message) };
    }
    const where = addresses.map((address) => `"${address.text}"`).join(", ");
    // Somebody was there who is no tracker, or not a healthy one.
    const head = last?.connected === true || this.timedOutIn === "greeting" ? "let the agent in" : "answered";
    const message = `No tracker ${head} at ${where} ${within}: ${this.lastWords()}`;
    return { kind: "unreachable", error: new BelayError("TRACKER_UNREACHABLE", message) };
  }

  private lastWords(): string {
    const { lastRefusal: last } = this;
    if (last === undefined) return this.timedOutIn === "greeting" ? "Hello was not answered" : "nothing was heard";
    return QUIET_CODES.has(last.code) ? last.message : `${last.message} (${status[last.code]})`;
  }

  private setState(state: SessionState): void {
    this.current = state;
    const facts = "address" in state ? { address: state.address } : {};
    this.options.logger.debug(`Session is ${state.kind}`, { ...facts, attempt: this.attempt, streams: this.streams });
  }
}
