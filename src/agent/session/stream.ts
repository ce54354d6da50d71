import { create, toBinary } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { type Metadata, status, type StatusObject } from "@grpc/grpc-js";
import type { Clock, Timer } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import { formatDuration } from "../../contract/durations.ts";
import { SilenceClock } from "../../base/silence.ts";
import type { Heartbeat } from "../../gen/belay/v1/job_pb.ts";
import {
  type Command,
  type Goodbye,
  type Hello,
  type OpenSessionRequest,
  OpenSessionRequestSchema,
  type OpenSessionResponse,
  type Receipt,
  type Welcome,
} from "../../gen/belay/v1/tracker_service_pb.ts";
import type { Spool } from "../report/spool.ts";
import type { SessionCall, Dialed } from "./dial.ts";
import { statusText } from "./status-text.ts";
import { readTrailers, type Trailers } from "./trailers.ts";
import { SendLoop } from "./send-loop.ts";
import type { SessionTiming } from "./session-timing.ts";
import { MAX_WINDOW } from "./window.ts";

/** Heartbeat intervals without any message after which a stream counts as dead. */
const SILENT_INTERVALS = 3;
/** Used when a tracker sends no interval. Milliseconds. */
const DEFAULT_HEARTBEAT_INTERVAL = 10_000;
const MIN_HEARTBEAT_INTERVAL = 20;

/** How a stream ended. */
export interface StreamEnd extends Trailers {
  readonly code: status;
  readonly message: string;
  /** Whether its transport was up. */
  readonly connected: boolean;
  /** Whether the tracker had welcomed it. */
  readonly welcomed: boolean;
  /** Milliseconds from Welcome to the end. */
  readonly openFor: number;
  readonly goodbye: Goodbye | undefined;
}

/** What a stream needs from its session. */
export interface StreamHandlers {
  hello(): Hello;
  heartbeat(nonce: bigint): Heartbeat;
  connected(): void;
  /** Called after the spool knows what is committed. */
  welcome(welcome: Welcome): void;
  command(command: Command): void;
  receipt(receipt: Receipt): void;
  /** After each ack. */
  progress(): void;
}

/** One stream of a session, from its call to its end. `done` never rejects. */
export class Stream {
  readonly done: Promise<StreamEnd>;
  private readonly end: (end: StreamEnd) => void;
  private readonly dialed: Dialed;
  private readonly call: SessionCall;
  private readonly spool: Spool;
  private readonly clock: Clock;
  private readonly handlers: StreamHandlers;
  private readonly timing: SessionTiming;
  private sendLoop: SendLoop | undefined;
  private timer: Timer | undefined;
  private nonce = 0n;
  private readonly silence: SilenceClock;
  private openedAt: number | undefined;
  private goodbye: Goodbye | undefined;
  /** Content type of an answer that is not gRPC. */
  private wrongType: string | undefined;
  private trailers: Trailers = {};
  private connected = false;
  private ended = false;

  constructor(dialed: Dialed, spool: Spool, clock: Clock, timing: SessionTiming, handlers: StreamHandlers) {
    const { promise, resolve } = Promise.withResolvers<StreamEnd>();
    this.done = promise;
    this.end = resolve;
    this.dialed = dialed;
    this.call = dialed.call;
    this.spool = spool;
    this.clock = clock;
    this.timing = timing;
    this.handlers = handlers;
    this.silence = new SilenceClock(clock);
  }

  /** Sends Hello, and then what the tracker's Welcome asks for. */
  start(): void {
    this.call.on("data", (response: OpenSessionResponse) => {
      if (!this.ended) this.receive(response);
    });
    this.call.on("metadata", (headers: Metadata) => {
      const type = String(headers.get("content-type")[0] ?? "");
      if (!type.startsWith("application/grpc")) this.wrongType = type.split(";", 1)[0];
    });
    this.call.on("status", ({ code, details, metadata }: StatusObject) => {
      this.trailers = readTrailers(metadata);
      this.over(code, details);
    });
    this.call.write(encode({ case: "hello", value: this.handlers.hello() }));
    this.dialed.connected(this.timing.connect).then(
      () => {
        if (this.ended) return;
        this.connected = true;
        this.handlers.connected();
        if (this.openedAt === undefined) this.expectWelcome();
      },
      (error: unknown) => this.finish(status.UNAVAILABLE, `No connection: ${messageOf(error)}`),
    );
  }

  /** Sends what the spool has. */
  pump(): void {
    this.sendLoop?.pump();
  }

  /** Half-closes: everything was sent. The tracker answers by ending the stream. */
  halfClose(): void {
    this.sendLoop?.stop();
    this.timer?.cancel();
    this.call.end();
    this.timer = this.clock.after(this.timing.close, () => this.finish(status.OK, "Everything was confirmed"));
  }

  /** Ends the stream without waiting for the tracker. */
  destroy(message: string): void {
    this.finish(status.CANCELLED, message);
  }

  private over(code: status, details: string): void {
    if (code === status.OK) this.finish(code, "The tracker ended the stream");
    // grpc-js reads the first letters of a page as the length of a message, which is then too long.
    else if (this.wrongType !== undefined && code === status.RESOURCE_EXHAUSTED) {
      this.finish(status.UNKNOWN, statusText("", this.wrongType));
    } else this.finish(code, statusText(details, this.wrongType));
  }

  private receive({ payload }: OpenSessionResponse): void {
    this.silence.heard();
    if (this.openedAt === undefined) {
      if (payload.case === "welcome") this.open(payload.value);
      else if (payload.case !== undefined) {
        this.finish(status.INTERNAL, `The tracker's first message was "${payload.case}": expected "welcome"`);
      }
      return;
    }
    switch (payload.case) {
      case "ack":
        this.commit(payload.value.events, payload.value.logs);
        return;
      case "command":
        this.handlers.command(payload.value);
        return;
      case "goodbye":
        this.goodbye = payload.value;
        return;
      case "receipt":
        this.handlers.receipt(payload.value);
        return;
      // A reply has done its work by arriving. What we do not know is ignored.
      case "heartbeatReply":
      case "welcome":
      case undefined:
        return;
    }
  }

  private open(welcome: Welcome): void {
    const { events = 0n, logs = 0n } = welcome.committed ?? {};
    for (const [lane, committed] of [["events", events] as const, ["logs", logs] as const]) {
      const lowest = this.spool.lowestHeld(lane);
      if (Number(committed) + 1 >= lowest) continue;
      this.finish(
        status.DATA_LOSS,
        `The tracker has ${lane} up to ${committed}, but had confirmed them up to ${lowest - 1}: its data was rolled back (restored from a backup?)`,
      );
      return;
    }
    this.timer?.cancel();
    this.openedAt = this.clock.monotonic();
    this.spool.ack("events", Number(events));
    this.spool.ack("logs", Number(logs));
    const window = welcome.limits?.maxUnacknowledgedBytes || MAX_WINDOW;
    this.sendLoop = new SendLoop(this.call, this.spool, this.clock, window);
    this.handlers.welcome(welcome);
    const interval = welcome.heartbeatInterval === undefined ? 0 : durationMs(welcome.heartbeatInterval);
    this.beat(Math.max(MIN_HEARTBEAT_INTERVAL, interval || DEFAULT_HEARTBEAT_INTERVAL));
    this.handlers.progress();
  }

  /** Sends a heartbeat now and at every interval, and notices when the tracker has gone silent. */
  private beat(interval: number): void {
    if (this.ended) return;
    const heartbeat = this.handlers.heartbeat(++this.nonce);
    this.sendLoop?.beat(encode({ case: "heartbeat", value: heartbeat }));
    this.timer = this.silence.after(interval, interval, () => {
      const { duration } = this.silence;
      if (duration >= SILENT_INTERVALS * interval) {
        this.finish(status.DEADLINE_EXCEEDED, `Nothing came from the tracker for ${formatDuration(duration)}`);
      } else this.beat(interval);
    });
  }

  private expectWelcome(): void {
    const { welcome } = this.timing;
    this.timer = this.clock.after(welcome, () => {
      const waited = `The tracker did not welcome the agent within ${formatDuration(welcome)}`;
      this.finish(status.DEADLINE_EXCEEDED, this.wrongType === undefined ? waited : statusText("", this.wrongType));
    });
  }

  private commit(events: bigint, logs: bigint): void {
    this.spool.ack("events", Number(events));
    this.spool.ack("logs", Number(logs));
    this.sendLoop?.acked(Number(logs));
    this.handlers.progress();
  }

  private finish(code: status, message: string): void {
    if (this.ended) return;
    this.ended = true;
    this.timer?.cancel();
    this.sendLoop?.stop();
    this.dialed.close();
    const { proxy } = this.dialed;
    const through = proxy === undefined || this.connected || message.includes(proxy) ? "" : `, through ${proxy}`;
    const openFor = this.openedAt === undefined ? 0 : this.clock.monotonic() - this.openedAt;
    const { connected, goodbye } = this;
    this.end({
      code,
      message: `${message}${through}`,
      connected,
      welcomed: this.openedAt !== undefined,
      openFor,
      goodbye,
      ...this.trailers,
    });
  }
}

function encode(payload: OpenSessionRequest["payload"]): Buffer {
  return Buffer.from(toBinary(OpenSessionRequestSchema, create(OpenSessionRequestSchema, { payload })));
}
