import { Code, ConnectError } from "@connectrpc/connect";
import { create } from "@bufbuild/protobuf";
import { messageOf } from "../../base/errors.ts";
import { SilenceClock } from "../../base/silence.ts";
import type { Logger } from "../../base/logger.ts";
import { KiB } from "../../base/text/sizes.ts";
import type { CommandKind, Heartbeat } from "../../gen/belay/v1/job_pb.ts";
import type {
  Ack,
  Command,
  Event,
  GoodbyeReason,
  Hello,
  LogBatch,
  Receipt,
} from "../../gen/belay/v1/tracker_service_pb.ts";
import { AckSchema } from "../../gen/belay/v1/tracker_service_pb.ts";
import { applyEvent } from "../jobs/apply-event.ts";
import { decideLog, isLogUndecided } from "../jobs/ending.ts";
import type { Leases } from "../jobs/deadlines/leases.ts";
import type { AgentConnection } from "../jobs/agent-connection.ts";
import type { LaneProgress, LiveJob } from "../jobs/live-job.ts";
import type { ChangedParts } from "../jobs/changed-parts.ts";
import { SAME } from "../jobs/changed-parts.ts";
import type { JobContext } from "../jobs/context.ts";
import type { AttemptLog } from "../store/log/attempt-log.ts";
import type { Incoming, SessionPort } from "./session-port.ts";
import { Outbox } from "./outbox.ts";
import { asRefusal } from "./refusal.ts";

/**
 * While more of a log waits for the disk, an ack is sent only if it confirms this much. An agent that has less than
 * that unacknowledged does not wait longer for it: its last batch leaves nothing waiting here, and is acknowledged.
 */
const ACK_EVERY_BYTES: number = 256 * KiB;
/** Events that may wait for the store before the next message is read. */
const MAX_WAITING_EVENTS = 256;

/** The dependencies of a stream. */
export interface StreamContext extends JobContext {
  readonly leases: Leases;
  readonly logger: Logger;
}

/**
 * One open stream of the session that has a job: accepts records, and sends acks and commands.
 *
 * Law: an ack never confirms more than is stored, and never goes back. Only the job's current stream changes the job:
 * messages that still come on a stream that was replaced are dropped.
 */
export class SessionStream implements AgentConnection {
  readonly sessionId: string;
  readonly outbox: Outbox = new Outbox();
  readonly silence: SilenceClock;
  holding = false;
  /** The disk is full: batches are dropped unconfirmed, while events and commands go on, until the agent sends them again. */
  private waitsForRoom = false;
  private readonly context: StreamContext;
  private readonly live: LiveJob;
  private readonly hello: Hello;
  private readonly log: AttemptLog;
  private readonly lane: LaneProgress;
  private waitingEvents = 0;
  /** Where the log stood when it was last confirmed. */
  private confirmed = 0;
  private readonly stopListening: () => void;

  constructor(context: StreamContext, live: LiveJob, hello: Hello, attempt: number, log: AttemptLog) {
    this.context = context;
    this.live = live;
    this.hello = hello;
    this.sessionId = hello.sessionId;
    this.log = log;
    this.lane = live.lane(attempt);
    this.silence = new SilenceClock(context.clock);
    this.stopListening = log.onWrite((problem) => this.onWrite(problem));
  }

  supports(kind: CommandKind): boolean {
    return this.hello.supportedCommands.includes(kind);
  }

  send(command: Command): void {
    this.outbox.push({ case: "command", value: command });
  }

  receipt(receipt: Receipt): void {
    this.outbox.push({ case: "receipt", value: receipt });
  }

  goodbye(reason: GoodbyeReason, message: string): void {
    this.outbox.push({ case: "goodbye", value: { $typeName: "belay.v1.Goodbye", reason, message } });
    this.outbox.end();
  }

  fail(error: Error): void {
    this.outbox.end(error);
  }

  /** Ends the stream when nothing can be stored any more, or when the disk has room again for what was dropped. */
  storeChanged(): void {
    const { gone, isFull } = this.context.store.condition;
    if (gone !== undefined) {
      this.fail(new ConnectError(`The tracker cannot store what it receives: ${gone}`, Code.ResourceExhausted));
    } else if (this.waitsForRoom && !isFull) {
      this.fail(new ConnectError("The tracker has room again: send what is not confirmed", Code.Aborted));
    }
  }

  /** The stored sequences of both lanes. */
  committed(): Ack {
    return create(AckSchema, { events: BigInt(this.lane.committed), logs: BigInt(this.log.committed.sequence) });
  }

  /** Skips what the agent no longer holds: waiting for it would stop the lanes for ever. */
  skipLost(): void {
    const events = Number(this.hello.lowestEventSequence) - 1;
    const logs = Number(this.hello.lowestLogSequence) - 1;
    if (events > this.lane.accepted) this.lane.accepted = this.lane.committed = events;
    this.log.skipTo(logs);
  }

  /** Reads until the agent half-closes or the stream breaks. Never throws. */
  async receive(port: SessionPort): Promise<void> {
    try {
      for (let next = await port.next(); next !== undefined; next = await port.next()) {
        if (!this.isCurrent) return;
        this.heard();
        await this.accept(next);
      }
      await this.log.flush();
      this.outbox.end();
    } catch (error) {
      this.fail(asRefusal(error));
    }
  }

  /**
   * Releases what belongs to the stream. Must be called once the stream has ended, however it ended.
   *
   * @param notify whether watchers are notified that the agent is away
   */
  async detach(notify: boolean): Promise<void> {
    this.stopListening();
    if (!this.isCurrent) return;
    this.live.stream = undefined;
    this.live.disconnectedAt = this.context.clock.now();
    // The registry reports and handles a failure to store it.
    if (notify) await this.context.registry.commit(this.live, SAME).catch(() => undefined);
    await this.context.registry.settle(this.live);
  }

  private get isCurrent(): boolean {
    return this.live.stream === this;
  }

  private heard(): void {
    this.silence.heard();
    void this.context.leases.renew(this.live).catch((error: unknown) => this.fail(asRefusal(error)));
  }

  private async accept({ message: { payload }, release }: Incoming): Promise<void> {
    switch (payload.case) {
      case "event":
        return this.acceptEvent(payload.value);
      case "logBatch":
        return this.acceptBatch(payload.value, release);
      case "heartbeat":
        return this.acceptHeartbeat(payload.value);
      case "hello":
        throw new ConnectError("Hello came twice: it is the first message of a stream only", Code.InvalidArgument);
      case undefined:
    }
  }

  private async acceptEvent(event: Event): Promise<void> {
    const sequence = Number(event.sequence);
    const { lane, live } = this;
    if (sequence < 1) throw new ConnectError("Event with sequence 0: the first is 1", Code.InvalidArgument);
    if (sequence > lane.accepted + 1) throw skipped("events", lane.accepted + 1, sequence);
    if (sequence <= lane.accepted) {
      this.sendAck();
      return;
    }
    const { registry, store, clock } = this.context;
    const parts = applyEvent(live, event, clock.now(), this.hello.nextAttemptFollows);
    lane.accepted = sequence;
    const kept = store.condition.isFull && isSample(event) ? withoutEvent(parts) : parts;
    const stored = registry.commit(live, kept).then(async () => {
      lane.committed = sequence;
      this.sendAck();
      this.waitingEvents--;
      if (event.kind.case === "result") await this.tryReceipt(false);
    });
    this.waitingEvents++;
    // The registry has handled a failure and ended the stream; here it is caught only so as not to go unhandled.
    const settled = stored.catch((error: unknown) => this.fail(asRefusal(error)));
    if (this.waitingEvents >= MAX_WAITING_EVENTS) await settled;
  }

  private async acceptBatch(batch: LogBatch, release: (() => void) | undefined): Promise<void> {
    if (this.waitsForRoom) {
      release?.();
      return;
    }
    const outcome = this.log.append(batch, release);
    switch (outcome.kind) {
      case "accepted":
        break;
      case "duplicate":
        release?.();
        this.sendAck();
        break;
      case "gap":
        throw skipped("logs", outcome.expected, Number(batch.sequence));
      case "invalid":
        throw new ConnectError(`Log batch ${batch.sequence} has ${outcome.problem}`, Code.InvalidArgument);
    }
    if (!this.log.congested) return;
    this.holding = true;
    await this.log.drained();
    this.holding = false;
    this.heard();
  }

  private async acceptHeartbeat(heartbeat: Heartbeat): Promise<void> {
    const { live, context } = this;
    if (live.attempt !== undefined) live.attempt.heartbeat = heartbeat;
    const value = {
      $typeName: "belay.v1.HeartbeatReply" as const,
      nonce: heartbeat.nonce,
      sendUnixNano: context.clock.unixNano(),
    };
    this.outbox.reply({ case: "heartbeatReply", value });
    if (!isLogUndecided(live)) return;
    // The result is stored, bytes are missing, and in two heartbeats in a row the agent had nothing more to send.
    const idle = heartbeat.logs !== undefined && heartbeat.logs.lastProduced <= BigInt(this.log.committed.sequence);
    live.idleHeartbeats = idle ? live.idleHeartbeats + 1 : 0;
    if (live.idleHeartbeats >= 2) await this.tryReceipt(true);
  }

  /** Sends the receipt if the result and all of the log are stored. */
  async tryReceipt(last: boolean): Promise<void> {
    const receipt = await decideLog(this.context, this.live, last);
    if (receipt !== undefined) this.receipt(receipt);
  }

  private onWrite(problem: unknown): void {
    if (problem !== undefined) {
      this.context.logger.error("Cannot write a log", { job: this.live.id, error: messageOf(problem) });
      if (this.context.store.condition.isFull) this.waitsForRoom = true;
      else {
        this.fail(new ConnectError(`The tracker cannot store the log: ${messageOf(problem)}`, Code.ResourceExhausted));
      }
      return;
    }
    const { idle, committed } = this.log;
    if (idle || committed.position - this.confirmed >= ACK_EVERY_BYTES) this.sendAck();
    if (this.live.attempt?.result !== undefined && this.isCurrent) {
      this.tryReceipt(false).catch((failure: unknown) => this.fail(asRefusal(failure)));
    }
  }

  private sendAck(): void {
    this.confirmed = this.log.committed.position;
    this.outbox.acknowledge(() => ({ case: "ack", value: this.committed() }));
  }
}

/** Whether an event is one of many, of which later ones are more important. */
function isSample({ kind }: Event): boolean {
  return kind.case === "metricSample" || kind.case === "jobMetrics";
}

function withoutEvent(parts: ChangedParts): ChangedParts {
  const { event: _, ...rest } = parts;
  return rest;
}

function skipped(lane: string, expected: number, found: number): ConnectError {
  return new ConnectError(`Lane of ${lane}: expected sequence ${expected}, found ${found}`, Code.OutOfRange);
}
