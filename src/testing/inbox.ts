import type { ClientDuplexStream, StatusObject } from "@grpc/grpc-js";
import type { Sendable } from "../base/network/grpc-service.ts";
import type { OpenSessionRequest, OpenSessionResponse } from "../gen/belay/v1/tracker_service_pb.ts";

/** A stream, as its agent sees it. */
export type AgentStream = ClientDuplexStream<Sendable<OpenSessionRequest>, OpenSessionResponse>;

/** What the tracker may send. */
export type Answer = OpenSessionResponse["payload"];
/** Names of the messages that the tracker may send. */
export type AnswerKind = NonNullable<Answer["case"]>;
/** The message of a kind. */
export type AnswerOf<K extends AnswerKind> = (Answer & { readonly case: K })["value"];

/** How a stream ended. */
export interface StreamEnd {
  /** Status code of gRPC; 0 is OK. */
  readonly code: number;
  readonly details: string;
}

/** Messages of the tracker that the test has not taken yet. */
export class Inbox {
  /** In order of arrival. */
  readonly received: Answer[] = [];
  /** Never rejects. */
  readonly ended: Promise<StreamEnd>;
  private readonly timeout: number;
  private readonly waiting = new Set<() => void>();
  private failure: Error | undefined;

  /** @param timeout longest wait for one message, in milliseconds */
  constructor(stream: AgentStream, timeout: number) {
    this.timeout = timeout;
    const fail = (error: Error): void => {
      this.failure ??= error;
      this.wake();
    };
    stream.on("data", (message: OpenSessionResponse) => {
      this.received.push(message.payload);
      this.wake();
    });
    stream.on("error", fail);
    stream.on("end", () => fail(new Error("The tracker has ended the stream")));
    this.ended = new Promise((resolve) =>
      stream.on("status", ({ code, details }: StatusObject) => resolve({ code, details })),
    );
  }

  /** Waits for the oldest message of a kind, and removes it. @throws when the stream has ended, or the time is up */
  async next<K extends AnswerKind>(
    kind: K,
    wanted: (message: AnswerOf<K>) => boolean = () => true,
  ): Promise<AnswerOf<K>> {
    const late = performance.now() + this.timeout;
    for (;;) {
      const index = this.received.findIndex((answer) => answer.case === kind && wanted(answer.value as AnswerOf<K>));
      const [found] = index < 0 ? [] : this.received.splice(index, 1);
      if (found !== undefined) return found.value as AnswerOf<K>;
      if (this.failure !== undefined) throw this.failure;
      const left = late - performance.now();
      if (left <= 0) throw new Error(`Waited ${this.timeout} ms for a ${kind} from the tracker: none came`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.waiting.add(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  private wake(): void {
    for (const resolve of this.waiting) resolve();
    this.waiting.clear();
  }
}
