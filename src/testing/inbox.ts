import type { ClientDuplexStream } from "@grpc/grpc-js";
import type { Sendable } from "../base/grpc-service.ts";
import type { OpenSessionRequest, OpenSessionResponse } from "../gen/belay/v1/tracker_service_pb.ts";

/** An agent's end of a stream. */
export type AgentStream = ClientDuplexStream<Sendable<OpenSessionRequest>, OpenSessionResponse>;

type Payload = OpenSessionResponse["payload"];
type Kind = NonNullable<Payload["case"]>;
/** The message of a kind. */
export type Answer<K extends Kind> = (Payload & { readonly case: K })["value"];

/** What the tracker has sent and the test has not asked for yet, by kind. */
export class Inbox {
  /** Resolves when the stream has ended, well or not. */
  readonly ended: Promise<void>;
  private readonly messages: OpenSessionResponse[] = [];
  private readonly timeout: number;
  private failure: Error | undefined;
  private wake: () => void = () => undefined;

  constructor(stream: AgentStream, timeout: number) {
    this.timeout = timeout;
    this.ended = new Promise((resolve) => {
      const end = (error: Error): void => {
        this.failure ??= error;
        this.wake();
        resolve();
      };
      stream.on("data", (message: OpenSessionResponse) => {
        this.messages.push(message);
        this.wake();
      });
      stream.on("error", end);
      stream.on("end", () => end(new Error("The tracker has ended the stream")));
    });
  }

  /** Takes the oldest message of a kind out. @throws when the stream has ended, or the time is up */
  async next<K extends Kind>(kind: K): Promise<Answer<K>> {
    const late = performance.now() + this.timeout;
    for (;;) {
      const index = this.messages.findIndex((message) => message.payload.case === kind);
      const [found] = index < 0 ? [] : this.messages.splice(index, 1);
      if (found !== undefined) return found.payload.value as Answer<K>;
      if (this.failure !== undefined) throw this.failure;
      const left = late - performance.now();
      if (left <= 0) throw new Error(`Waited ${this.timeout} ms for a ${kind} from the tracker: none came`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}
