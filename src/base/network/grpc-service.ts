import type { DescMessage, DescMethod, DescService, MessageShape } from "@bufbuild/protobuf";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { MethodDefinition } from "@grpc/grpc-js";

/**
 * A message to send with grpc-js: either a message, or the bytes of an encoded one, which are sent unchanged.
 */
export type Sendable<T> = T | Buffer;

/** Converts a descriptor of protobuf-es to the method definition that grpc-js needs: no library does that. */
export function grpcMethod<I extends DescMessage, O extends DescMessage>(
  method: DescMethod & { input: I; output: O },
): MethodDefinition<Sendable<MessageShape<I>>, MessageShape<O>> {
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
    responseStream: method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
    requestSerialize: (message) => encode(method.input, message),
    requestDeserialize: (bytes) => fromBinary(method.input, bytes),
    responseSerialize: (message) => encode(method.output, message),
    responseDeserialize: (bytes) => fromBinary(method.output, bytes),
  };
}

/** The definitions of all methods of a service, by name, for `grpc.Server.addService`. */
export function grpcService(service: DescService): Record<string, MethodDefinition<unknown, unknown>> {
  return Object.fromEntries(
    service.methods.map((method) => [method.localName, grpcMethod(method) as MethodDefinition<unknown, unknown>]),
  );
}

function encode<D extends DescMessage>(desc: D, message: Sendable<MessageShape<D>>): Buffer {
  if (Buffer.isBuffer(message)) return message;
  const bytes = toBinary(desc, message);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
