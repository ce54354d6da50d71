import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { ContextValues } from "@connectrpc/connect";
import { Code, ConnectError } from "@connectrpc/connect";
import { messageOf } from "../../base/errors.ts";
import type { OpenSessionRequest, OpenSessionResponse } from "../../gen/belay/v1/tracker_service_pb.ts";
import { OpenSessionRequestSchema, OpenSessionResponseSchema } from "../../gen/belay/v1/tracker_service_pb.ts";
import { type RawCall, rawCallKey } from "../net/raw-call.ts";
import type { Outbox, Payload } from "./outbox.ts";

/** A message from an agent. */
export interface Incoming {
  readonly message: OpenSessionRequest;
  /** Releases the memory behind its bytes. Must be called at most once, when nothing reads them any more. */
  readonly release: (() => void) | undefined;
}

/** One stream of an agent: the only place that knows whether connect-node or we carry its messages. */
export interface SessionPort {
  /** The next message. Undefined: the agent has half-closed. */
  next(): Promise<Incoming | undefined>;
  /**
   * Sends the outbox's messages until it ends. The call's handler must iterate it, after Welcome: connect-node sends
   * each message that it yields.
   *
   * @throws the error that the stream ends with
   */
  send(outbox: Outbox): AsyncGenerator<OpenSessionResponse, void>;
}

/** The port of a call. @param requests as connect-node reads them, for those calls that we do not read ourselves */
export function sessionPort(requests: AsyncIterable<OpenSessionRequest>, values: ContextValues): SessionPort {
  const raw = values.get(rawCallKey);
  return raw === undefined ? connectPort(requests[Symbol.asyncIterator]()) : rawPort(raw);
}

function connectPort(requests: AsyncIterator<OpenSessionRequest>): SessionPort {
  return {
    next: async () => {
      const next = await requests.next();
      return next.done === true ? undefined : { message: next.value, release: undefined };
    },
    async *send(outbox) {
      do {
        for (let payload = outbox.next(); payload !== undefined; payload = outbox.next())
          yield messageOfPayload(payload);
      } while (await outbox.hasMore());
    },
  };
}

/** Reads and writes the HTTP/2 stream: connect-node has sent the headers, with Welcome, and sends the trailers. */
function rawPort({ reader, writer }: RawCall): SessionPort {
  return {
    next: async () => {
      const raw = await reader.next();
      return raw === undefined ? undefined : { message: decode(raw.bytes), release: () => raw.release() };
    },
    // eslint-disable-next-line require-yield -- the messages do not go through connect-node
    async *send(outbox) {
      for (;;) {
        const messages: Uint8Array[] = [];
        for (let payload = outbox.next(); payload !== undefined; payload = outbox.next()) {
          messages.push(toBinary(OpenSessionResponseSchema, messageOfPayload(payload)));
        }
        if (messages.length === 0) {
          if (!(await outbox.hasMore())) return;
        } else if (!writer.write(messages)) {
          await writer.drained();
        }
      }
    },
  };
}

function messageOfPayload(payload: Payload): OpenSessionResponse {
  return create(OpenSessionResponseSchema, { payload });
}

function decode(bytes: Uint8Array): OpenSessionRequest {
  try {
    return fromBinary(OpenSessionRequestSchema, bytes);
  } catch (error) {
    throw new ConnectError(`Message cannot be decoded: ${messageOf(error)}`, Code.InvalidArgument);
  }
}
