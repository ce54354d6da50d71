import { status } from "@grpc/grpc-js";
import { formatDuration } from "../../contract/durations.ts";
import { BelayError, messageOf } from "../../base/errors.ts";
import type { TrackerAddress } from "../../base/network/tracker-address.ts";
import type { Heartbeat } from "../../gen/belay/v1/job_pb.ts";
import type { Hello, Welcome } from "../../gen/belay/v1/tracker_service_pb.ts";
import { LANES } from "../report/spool.ts";
import { AdmissionTime } from "./admission-time.ts";
import { dial, type Dialed } from "./dial.ts";
import { heartbeatOf, helloOf } from "./own-messages.ts";
import { absenceText, endAfter, endUnadmitted, type SessionEnd } from "./session-end.ts";
import { StallMeter } from "./stall-meter.ts";
import type { SessionHealth, SessionOptions } from "./session-options.ts";
import type { CloseReason, Drain, SessionState } from "./session-state.ts";
import { SESSION_TIMING, type SessionTiming } from "./session-timing.ts";
import { Stream, type StreamEnd } from "./stream.ts";
import { Route } from "./route.ts";

/**
 * An agent's connection to its tracker: one stream after the other until everything is delivered or the tracker refuses.
 *
 * Its law: while it is not closed, either a stream is open, or the next is being made or waited for.
 */
export class Session {
  /** The first Welcome. Rejects with a BelayError when there will be none. */
  readonly admitted: Promise<Welcome>;
  private readonly admit: PromiseWithResolvers<Welcome>;
  private readonly options: SessionOptions;
  private readonly timing: SessionTiming;
  private readonly stalls: StallMeter;
  private readonly route: Route;
  private readonly admissionTime: AdmissionTime;
  /** Aborted with a CloseReason. */
  private readonly closing = new AbortController();
  private current: SessionState;
  private stream: Stream | undefined;
  /** The attempt that the latest Welcome gave. Undefined: no tracker has admitted the session. */
  private admittedAs: number | undefined;
  /** Dialed so far, the current one included. */
  private streams = 0;
  /** There from `finish` on. */
  private drain: Drain | undefined;
  /** How the latest stream ended. */
  private last: StreamEnd | undefined;
  /** The next dial must not wait. */
  private skipsWait = false;
  private postponedOnce = false;
  /** A pump of the stream is in the queue of microtasks. */
  private pumping = false;

  constructor(options: SessionOptions, timing: SessionTiming = SESSION_TIMING) {
    this.options = options;
    this.timing = timing;
    this.admit = Promise.withResolvers<Welcome>();
    this.admitted = this.admit.promise;
    this.admitted.catch(() => undefined);
    this.stalls = new StallMeter(options.clock);
    const onOpen = ({ text }: TrackerAddress): void => {
      // What is being dialed waits for the kernel to repeat its SYN, which may take longer than dialing again.
      this.stream?.destroy(`The route to "${text}" is open again`);
    };
    this.route = new Route(options.addresses, options.clock, onOpen, timing);
    this.admissionTime = new AdmissionTime(options.clock, options.connectTimeout, () => this.timeOut());
    this.current = { kind: "dialing", address: options.addresses[0]?.text ?? "" };
    options.spool.onPush = () => this.pumpSoon();
  }

  get state(): SessionState {
    return this.current;
  }

  get health(): SessionHealth {
    const { current: state, attempt, streams } = this;
    const connected = state.kind === "open" || state.kind === "draining";
    return { state, connected, attempt, streams, loopDelay: this.stalls.recent };
  }

  private get attempt(): number {
    return this.admittedAs ?? this.options.identity.attempt ?? 0;
  }

  /** Whether a tracker has ever admitted the session. */
  private get admittedOnce(): boolean {
    return this.admittedAs !== undefined;
  }

  /** Makes streams until the session is closed. Never rejects. */
  async run(): Promise<SessionEnd> {
    this.stalls.start();
    this.admissionTime.start(this.options.startsIn ?? 0);
    let end: SessionEnd;
    try {
      end = await this.makeStreams();
    } catch (error) {
      const cause = error instanceof BelayError ? error : new BelayError("INTERNAL", String(error), { cause: error });
      end = { kind: "refused", error: cause };
    }
    this.admissionTime.stop();
    this.drain?.patience?.cancel();
    this.stalls.stop();
    this.route.stop();
    this.setState({ kind: "closed", end });
    this.admit.reject("error" in end ? end.error : new BelayError("STOPPED", "why" in end ? end.why : "It has ended"));
    if (end.kind === "fenced") this.options.handlers.fenced(end.error.message);
    return end;
  }

  /** The job's result and its whole log are in the spool: the session closes when they are delivered. */
  finish(): void {
    this.drain ??= { receipt: undefined, patience: undefined, delivered: false };
    if (this.current.kind === "open") this.setState({ kind: "draining", address: this.current.address });
    this.progress();
  }

  /** Ends the session. What is not committed stays in the spool. */
  close(why: string): void {
    this.closeFor({ why, timedOutIn: undefined });
  }

  /** Dials now if it waits, or again at once if it is refused for being too early: what Hello says has changed. */
  dialNow(): void {
    this.skipsWait = true;
    this.route.skipWait();
  }

  private closeFor(reason: CloseReason): void {
    this.closing.abort(reason);
    this.stream?.destroy(reason.why);
  }

  /** Why not everything was delivered within some milliseconds, as a sentence. */
  whyUndelivered(ms: number): string {
    if (this.health.connected) return `The tracker did not confirm everything within ${formatDuration(ms)}`;
    return this.whyAbsent(ms);
  }

  /** Why there has been no stream for some milliseconds, as a sentence. */
  whyAbsent(ms: number): string {
    return absenceText(this.last, ms);
  }

  /** The agent's own state, as heartbeats carry it. */
  heartbeat(nonce: bigint): Heartbeat {
    const { stalls, streams } = this;
    const loopDelay = stalls.take();
    this.options.handlers.loopDelay?.(loopDelay);
    return heartbeatOf(this.options, { nonce, streams, loopDelay });
  }

  private async makeStreams(): Promise<SessionEnd> {
    const { startsIn = 0, clock } = this.options;
    if (startsIn > 0 && !this.skipsWait) {
      const delay = Math.min(startsIn, this.timing.poll);
      this.setState({ kind: "waiting", until: clock.now() + delay, why: "The job's next attempt may not start yet" });
      await this.route.wait(delay, this.closing.signal);
      if (this.closing.signal.aborted) return this.closed();
    }
    for (;;) {
      const address = this.route.next();
      this.setState({ kind: "dialing", address: address.text });
      const end = await this.oneStream(address);
      const over = this.judge(end, address);
      if (over !== undefined) return over;
      await this.waitAfter(end, address);
      if (this.closing.signal.aborted) return this.closed();
    }
  }

  private async oneStream(address: TrackerAddress): Promise<StreamEnd> {
    const { spool, clock, identity, security, handlers } = this.options;
    this.streams++;
    let dialed: Dialed;
    try {
      dialed = await dial(address, security, identity.agent.version);
    } catch (error) {
      // A token that cannot be read before anything runs is the user's mistake; later it may be in rotation.
      if (!this.admittedOnce) throw error;
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
    this.stream = new Stream(dialed, spool, clock, this.timing, {
      hello: () => this.hello(),
      heartbeat: (nonce) => this.heartbeat(nonce),
      connected: () => {
        this.route.connected();
        if (this.current.kind === "dialing") this.setState({ kind: "greeting", address: address.text });
      },
      welcome: (welcome) => this.welcome(welcome, address.text),
      command: (command) => handlers.command(command),
      receipt: (receipt) => {
        if (this.drain !== undefined) this.drain.receipt = receipt;
        this.progress();
      },
      progress: () => this.progress(),
    });
    this.stream.start();
    if (this.closing.signal.aborted) this.stream.destroy("The session was closed");
    const end = await this.stream.done;
    this.stream = undefined;
    return end;
  }

  private hello(): Hello {
    this.skipsWait = false;
    return helloOf(this.options, { attempt: this.attempt, admittedOnce: this.admittedOnce });
  }

  private welcome(welcome: Welcome, address: string): void {
    const first = !this.admittedOnce;
    this.admittedAs = welcome.attempt;
    this.setState({ kind: this.drain === undefined ? "open" : "draining", address });
    this.options.handlers.connected(address, first);
    // The first time, the owner carries out its commands once the job has started.
    if (first) this.admit.resolve(welcome);
    else for (const command of welcome.commands) this.options.handlers.command(command);
  }

  /** Not at once: the caller that pushes a record may have more urgent work, such as the signals of a cancel. */
  private pumpSoon(): void {
    if (this.pumping) return;
    this.pumping = true;
    queueMicrotask(() => {
      this.pumping = false;
      this.stream?.pump();
    });
  }

  /** Half-closes the stream when there is nothing left to send or to wait for. */
  private progress(): void {
    const { drain, stream } = this;
    if (drain === undefined || stream === undefined || this.current.kind !== "draining") return;
    const { spool, clock } = this.options;
    if (LANES.some((lane) => spool.lowestHeld(lane) !== 0)) return;
    if (drain.receipt !== undefined) this.leave(drain);
    else drain.patience ??= clock.after(this.timing.receipt, () => this.leave(drain));
  }

  private leave(drain: Drain): void {
    drain.delivered = true;
    this.stream?.halfClose();
  }

  private judge(end: StreamEnd, address: TrackerAddress): SessionEnd | undefined {
    if (this.drain?.delivered === true) return { kind: "delivered", receipt: this.drain.receipt };
    if (this.closing.signal.aborted) return this.closed();
    this.last = end;
    this.options.logger.debug("The stream ended", { address: address.text, code: status[end.code], why: end.message });
    if (end.retryDelay !== undefined && !this.admittedOnce) {
      if (this.options.startsIn !== undefined) this.admissionTime.start(end.retryDelay);
      else if (this.admissionTime.isOverIn(end.retryDelay)) return this.unadmitted("waiting");
    }
    return endAfter(end, address, this.options.identity.jobId, this.admittedOnce);
  }

  private async waitAfter(end: StreamEnd, address: TrackerAddress): Promise<void> {
    const { clock, handlers } = this.options;
    const postponed = end.retryDelay !== undefined && !this.admittedOnce;
    const delay = postponed && this.skipsWait ? 0 : this.route.failed(end, address);
    if (postponed) this.postponed(end.message);
    else if (this.admittedOnce || this.streams === 1) handlers.lost(end.message, delay);
    this.setState({ kind: "waiting", until: clock.now() + delay, why: end.message });
    await this.route.wait(delay, this.closing.signal);
  }

  private postponed(why: string): void {
    if (!this.postponedOnce) this.options.handlers.postponed?.(why);
    this.postponedOnce = true;
  }

  private timeOut(): void {
    if (this.admittedOnce) return;
    const why = `not admitted within ${formatDuration(this.options.connectTimeout)}`;
    this.closeFor({ why, timedOutIn: this.current.kind });
  }

  private closed(): SessionEnd {
    const { why, timedOutIn } = this.closing.signal.reason as CloseReason;
    return timedOutIn === undefined ? { kind: "abandoned", why } : this.unadmitted(timedOutIn);
  }

  private unadmitted(timedOutIn: SessionState["kind"]): SessionEnd {
    const { addresses, identity, connectTimeout: within } = this.options;
    const greeting = timedOutIn === "greeting";
    return endUnadmitted({ jobId: identity.jobId, addresses, within, greeting, last: this.last });
  }

  private setState(state: SessionState): void {
    this.current = state;
    const facts = "address" in state ? { address: state.address } : {};
    this.options.logger.debug(`Session is ${state.kind}`, { ...facts, attempt: this.attempt, streams: this.streams });
  }
}
