import { fromBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { messageOf } from "../../base/errors.ts";
import type { OpenSessionRequest } from "../../gen/belay/v1/tracker_service_pb.ts";
import { OpenSessionRequestSchema } from "../../gen/belay/v1/tracker_service_pb.ts";
import type { MessageReader } from "../net/message-reader.ts";

/** A message from an agent. */
export interface Incoming {
  readonly message: OpenSessionRequest;
  /** Gives back the memory behind the bytes in it; to be called at most once, when nobody looks at them any more. */
  readonly release: (() => void) | undefined;
}

/** The messages of a stream, one after the other. */
export interface Messages {
  /** Undefined: the agent has half-closed. */
  next(): Promise<Incoming | undefined>;
}

/**
 * The messages of a call.
 *
 * @param requests as connect-node reads them, for those calls that no reader of ours can
 */
export function incoming(requests: AsyncIterable<OpenSessionRequest>, reader: MessageReader | undefined): Messages {
  if (reader === undefined) return asTheyCome(requests[Symbol.asyncIterator]());
  return {
    next: async () => {
      const raw = await reader.next();
      if (raw === undefined) return undefined;
      return { message: decode(raw.bytes), release: () => raw.release() };
    },
  };
}

function asTheyCome(requests: AsyncIterator<OpenSessionRequest>): Messages {
  return {
    next: async () => {
      const next = await requests.next();
      return next.done === true ? undefined : { message: next.value, release: undefined };
    },
  };
}

function decode(bytes: Uint8Array): OpenSessionRequest {
  try {
    return fromBinary(OpenSessionRequestSchema, bytes);
  } catch (error) {
    throw new ConnectError(`Message cannot be decoded: ${messageOf(error)}`, Code.InvalidArgument);
  }
}
