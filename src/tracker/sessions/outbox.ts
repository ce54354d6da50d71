import type { MessageInitShape } from "@bufbuild/protobuf";
import type { OpenSessionResponseSchema } from "../../gen/belay/v1/tracker_service_pb.ts";

/** A message to an agent. */
export type Payload = Exclude<MessageInitShape<typeof OpenSessionResponseSchema>["payload"], undefined>;

/** Heartbeats that may wait for their reply; of an agent that sends more without reading, the oldest go unanswered. */
const MAX_REPLIES = 16;

/**
 * The messages that wait to be sent to an agent. Bounded whatever the agent does: acks are state, so only the latest
 * waits; commands are bounded by those that are stored; replies by a constant.
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
    this.wakeSender();
  }

  reply(payload: Payload): void {
    if (this.ending !== undefined) return;
    this.replies.push(payload);
    if (this.replies.length > MAX_REPLIES) this.replies.shift();
    this.wakeSender();
  }

  /** @param ack called when the ack can be sent, so that it has the latest sequences */
  acknowledge(ack: () => Payload): void {
    this.ack = ack;
    this.wakeSender();
  }

  /** Ends the stream once the rest is sent: with OK, or with an error. The first end counts. */
  end(error?: Error): void {
    this.ending ??= { error };
    this.wakeSender();
  }

  /** The next message to send; undefined: none waits now. */
  next(): Payload | undefined {
    return this.urgent.shift() ?? this.replies.shift() ?? this.takeAck();
  }

  /**
   * Waits for the next message. Must be called when `next` has returned undefined.
   *
   * @returns false at the end
   * @throws the error that the stream ends with
   */
  async hasMore(): Promise<boolean> {
    const { ending } = this;
    if (ending === undefined) await new Promise<void>((resolve) => (this.wake = resolve));
    else if (ending.error !== undefined) throw ending.error;
    return ending === undefined;
  }

  private takeAck(): Payload | undefined {
    const { ack } = this;
    this.ack = undefined;
    return ack?.();
  }

  private wakeSender(): void {
    this.wake?.();
    this.wake = undefined;
  }
}
