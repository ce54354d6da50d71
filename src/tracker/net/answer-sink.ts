import type { ContextValues } from "@connectrpc/connect";
import { rawCallKey } from "./raw-call.ts";

/** The two forms of an answer. */
export interface AnswerEncoding<A, M> {
  /** As connect-node sends it. */
  message(answer: A): M;
  /** Encoded, in parts that are sent one after the other and not copied. */
  parts(answer: A): Uint8Array[];
}

/**
 * Sends the answers of a streaming call. connect-node sends the first, with the headers; those that follow go straight
 * into the HTTP/2 stream where the call is plain gRPC: see MessageWriter.
 */
export class AnswerSink<A, M> {
  private readonly values: ContextValues;
  private readonly encoding: AnswerEncoding<A, M>;
  private hasHeaders = false;

  constructor(values: ContextValues, encoding: AnswerEncoding<A, M>) {
    this.values = values;
    this.encoding = encoding;
  }

  /** Sends an answer, and waits for the client. The call's handler must yield what this yields: connect-node sends it. */
  async *send(answer: A): AsyncGenerator<M, void> {
    const writer = this.hasHeaders ? this.values.get(rawCallKey)?.writer : undefined;
    if (writer === undefined) yield this.encoding.message(answer);
    else if (!writer.writeParts(this.encoding.parts(answer))) await writer.drained();
    this.hasHeaders = true;
  }
}
