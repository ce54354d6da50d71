import { create, toBinary } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { OpenSessionResponse } from "../../gen/belay/v1/tracker_service_pb.ts";
import { OpenSessionResponseSchema } from "../../gen/belay/v1/tracker_service_pb.ts";
import type { MessageWriter } from "../net/message-writer.ts";

type Payload = Exclude<MessageInitShape<typeof OpenSessionResponseSchema>["payload"], undefined>;

/** Heartbeats that may wait for their reply; of an agent that sends more without reading, the oldest go unanswered. */
const MAX_REPLIES = 16;

/**
 * What is to be sent to an agent. Bounded whatever the agent does: acks are state, so only the latest waits; commands
 * are bounded by what is stored; replies by a constant.
 */
export class Outbox {
  private readonly urgent: Payload[] = [];
  private replies: Payload[] = [];
  private ack: (() => Payload) | undefined;
  private ending: { readonly error: Error | undefined } | undefined;
  private wake: (() => void) | undefined;

  /** Commands, receipts, goodbyes: in order, before anything else. */
  push(payload: Payload): void {
    if (this.ending !== undefined) return;
    this.urgent.push(payload);
    this.rouse();
  }

  reply(payload: Payload): void {
    if (this.ending !== undefined) return;
    this.replies.push(payload);
    if (this.replies.length > MAX_REPLIES) this.replies.shift();
    this.rouse();
  }

  /** @param ack is called when there is room to send it, so that it says the latest. */
  acknowledge(ack: () => Payload): void {
    this.ack = ack;
    this.rouse();
  }

  /** Ends the stream once the rest is sent: with OK, or with an error. The first end counts. */
  end(error?: Error): void {
    this.ending ??= { error };
    this.rouse();
  }

  /** What is sent, until the end. @throws the error that it ends with */
  async *messages(): AsyncGenerator<OpenSessionResponse, void> {
    for (;;) {
      const payload = this.take();
      if (payload !== undefined) yield create(OpenSessionResponseSchema, { payload });
      else if (await this.isOver()) return;
    }
  }

  /** Writes all that is sent, until the end. @throws the error that it ends with */
  async writeTo(writer: MessageWriter): Promise<void> {
    for (;;) {
      const messages: Uint8Array[] = [];
      for (let payload = this.take(); payload !== undefined; payload = this.take()) messages.push(encode(payload));
      if (messages.length === 0) {
        if (await this.isOver()) return;
      } else if (!writer.write(messages)) {
        await writer.drained();
      }
    }
  }

  private take(): Payload | undefined {
    return this.urgent.shift() ?? this.replies.shift() ?? this.takeAck();
  }

  /** Whether this is the end; if not, there is more now. @throws the error that it ends with */
  private async isOver(): Promise<boolean> {
    const { ending } = this;
    if (ending === undefined) await new Promise<void>((resolve) => (this.wake = resolve));
    else if (ending.error !== undefined) throw ending.error;
    return ending !== undefined;
  }

  private takeAck(): Payload | undefined {
    const { ack } = this;
    this.ack = undefined;
    return ack?.();
  }

  private rouse(): void {
    this.wake?.();
    this.wake = undefined;
  }
}

function encode(payload: Payload): Uint8Array {
  return toBinary(OpenSessionResponseSchema, create(OpenSessionResponseSchema, { payload }));
}
