import { create } from "@bufbuild/protobuf";
import { expect } from "vitest";
import { COMMAND_KINDS } from "../../../../src/contract/commands.ts";
import {
  CommandState,
  HealthSchema,
  HealthStatus,
  JobResultSchema,
  JobSpecSchema,
  JobState,
  LogStream,
  type RetryPolicy,
  RetryPolicySchema,
} from "../../../../src/gen/belay/v1/job_pb.ts";
import {
  CommandUpdateSchema,
  type Event,
  EventSchema,
  HelloSchema,
  LogBatchSchema,
  StateChangeSchema,
} from "../../../../src/gen/belay/v1/tracker_service_pb.ts";
import { Printed } from "../../../../src/testing/printed.ts";
import type { InProcessStream, InProcessTracker } from "../../../helpers/tracker-in-process.ts";
import { type AgentAction, type HelloFields, RESULTS } from "./actions.ts";

/** One session of an agent: what it has sent, and what it has been sent. */
export class HistoryAgent {
  readonly jobId: string;
  readonly sessionId: string;
  attempt = 0;
  stream: InProcessStream | undefined;
  /** Whether its stream has brought a Goodbye. */
  private dismissed = false;
  /** Whether it said so in a Hello. */
  nextAttemptFollows = false;
  /** Commands that it has received and not carried out. */
  orders: string[] = [];
  private delivered: string[] = [];
  private readonly events: Event[] = [];
  private readonly batches: Uint8Array[] = [];
  private readonly printed = new Printed();
  private seen = 0;
  private acked = { events: 0n, logs: 0n };

  constructor(jobId: string, sessionId: string) {
    this.jobId = jobId;
    this.sessionId = sessionId;
  }

  get isOpen(): boolean {
    return this.stream !== undefined && this.stream.end === undefined && this.attempt > 0 && !this.dismissed;
  }

  async connect(tracker: InProcessTracker, fields: HelloFields, policy: RetryPolicy | undefined): Promise<void> {
    this.stream?.break();
    const stream = (this.stream = tracker.openSession());
    this.seen = 0;
    this.dismissed = false;
    this.nextAttemptFollows ||= fields.nextAttemptFollows;
    const other = create(RetryPolicySchema, { maxAttempts: 9 });
    const retry = { other, same: policy, silent: undefined, none: undefined }[fields.spec];
    const spec = create(JobSpecSchema, { command: ["true"], ...(retry && { retry }) });
    const value = create(HelloSchema, {
      jobId: this.jobId,
      sessionId: this.sessionId,
      attempt: this.attempt,
      takeOver: fields.takeOver,
      nextAttemptFollows: fields.nextAttemptFollows,
      deliversOnly: fields.deliversOnly,
      supportedCommands: Object.values(COMMAND_KINDS),
      ...(fields.spec === "none" ? {} : { spec }),
    });
    stream.send({ case: "hello", value });
    await stream.until(() => stream.received.length > 0);
    this.read();
    if (stream.end !== undefined) return;
    // What is not confirmed is sent again.
    for (const event of this.events.slice(Number(this.acked.events))) stream.send({ case: "event", value: event });
    this.batches.slice(Number(this.acked.logs)).forEach((_, i) => this.sendBatch(Number(this.acked.logs) + i));
    await this.confirmed();
  }

  /** Does what a step says. It must have an open stream. */
  async take(step: AgentAction): Promise<void> {
    switch (step.do) {
      case "result":
        return this.result(step.result, step.missing);
      case "state":
        return this.event({ case: "stateChange", value: create(StateChangeSchema, { state: JobState.RUNNING }) });
      case "health":
        return this.event({ case: "health", value: create(HealthSchema, { status: HealthStatus.STALLED }) });
      case "carry out": {
        const commandId = this.orders.pop();
        if (commandId === undefined) return;
        const value = create(CommandUpdateSchema, { commandId, state: CommandState.COMPLETED });
        return this.event({ case: "commandUpdate", value });
      }
      case "print":
        return this.print();
      case "beat":
        return this.beat();
      case "half-close":
        return this.stream?.halfClose();
      case "cut":
        return this.stream?.break();
    }
  }

  private async event(kind: Event["kind"]): Promise<void> {
    const value = create(EventSchema, { sequence: BigInt(this.events.length + 1), kind });
    this.events.push(value);
    this.stream?.send({ case: "event", value });
    await this.confirmed();
  }

  private async result(name: string, missing: number): Promise<void> {
    const streams = this.printed.totals();
    const [first] = streams;
    if (first !== undefined) first.bytes += BigInt(missing);
    const value = create(JobResultSchema, { ...RESULTS.get(name), message: name, streams });
    await this.event({ case: "result", value });
  }

  private async print(): Promise<void> {
    this.batches.push(new TextEncoder().encode(`line ${this.batches.length} of ${this.sessionId}\n`));
    this.sendBatch(this.batches.length - 1);
    await this.confirmed();
  }

  beat(): void {
    const logs = { lastProduced: BigInt(this.batches.length) };
    this.stream?.send({ case: "heartbeat", value: { nonce: 1n, state: JobState.RUNNING, logs } });
  }

  /** Reads what the tracker has sent. */
  read(): void {
    for (const message of this.stream?.received.slice(this.seen) ?? []) {
      this.seen++;
      if (message.case === "welcome") {
        const { attempt, committed, commands } = message.value;
        expect([0, attempt], "a session has one attempt").toContain(this.attempt);
        this.attempt = attempt;
        this.acked = { events: committed?.events ?? 0n, logs: committed?.logs ?? 0n };
        for (const { commandId } of commands) this.receive(commandId);
      }
      if (message.case === "command") this.receive(message.value.commandId);
      if (message.case === "goodbye") this.dismissed = true;
      if (message.case === "ack") {
        const { events, logs } = message.value;
        expect(events >= this.acked.events && logs >= this.acked.logs, "acks never go back").toBe(true);
        this.acked = { events, logs };
      }
    }
  }

  /** The commands that have come since it was called last. */
  takeDelivered(): readonly string[] {
    const { delivered } = this;
    this.delivered = [];
    return delivered;
  }

  private receive(commandId: string): void {
    this.delivered.push(commandId);
    if (!this.orders.includes(commandId)) this.orders.push(commandId);
  }

  private async confirmed(): Promise<void> {
    const [events, logs] = [BigInt(this.events.length), BigInt(this.batches.length)];
    await this.stream?.until(() => {
      this.read();
      return this.dismissed || (this.acked.events >= events && this.acked.logs >= logs);
    });
    this.read();
  }

  private sendBatch(index: number): void {
    const data = this.batches[index] ?? new Uint8Array();
    const offset = BigInt(this.batches.slice(0, index).reduce((sum, { byteLength }) => sum + byteLength, 0));
    if (Number(this.printed.totals()[0]?.bytes ?? 0n) <= Number(offset)) this.printed.add(LogStream.STDOUT, data);
    const chunk = {
      stream: LogStream.STDOUT,
      step: 1,
      offset,
      readUnixNano: 1n,
      content: { case: "data" as const, value: data },
    };
    this.stream?.send({
      case: "logBatch",
      value: create(LogBatchSchema, { sequence: BigInt(index + 1), chunks: [chunk] }),
    });
  }
}
