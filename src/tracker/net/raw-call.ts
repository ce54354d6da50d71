import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { createContextKey } from "@connectrpc/connect";
import { MessageReader } from "./message-reader.ts";
import { MessageWriter } from "./message-writer.ts";

/** A call whose messages can be read and written without connect-node, which keeps its headers, gate and status. */
export interface RawCall {
  readonly reader: MessageReader;
  readonly writer: MessageWriter;
}

/** Set for calls that can be served without connect-node. */
export const rawCallKey: ReturnType<typeof createContextKey<RawCall | undefined>> = createContextKey<
  RawCall | undefined
>(undefined);

/** @param maxBytes of a message that is read */
export function rawCall(stream: ServerHttp2Stream, maxBytes: number): RawCall {
  return { reader: new MessageReader(stream, maxBytes), writer: new MessageWriter(stream) };
}

/** Whether a call's messages are plain gRPC, nothing compressed. */
export function isPlainGrpc(headers: IncomingHttpHeaders): boolean {
  const type = headers["content-type"];
  const encoding = headers["grpc-encoding"] ?? "identity";
  return (type === "application/grpc" || type === "application/grpc+proto") && encoding === "identity";
}
