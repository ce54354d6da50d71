import { Code, ConnectError } from "@connectrpc/connect";

/**
 * The error that ends an agent's stream. A message that is too large or cannot be decoded would be sent again and fail
 * again, so it is INVALID_ARGUMENT, where connect-node has RESOURCE_EXHAUSTED or INTERNAL.
 */
export function asRefusal(error: unknown): ConnectError {
  const refusal = ConnectError.from(error);
  const { code, rawMessage } = refusal;
  if (code === Code.ResourceExhausted && rawMessage.startsWith("message size")) {
    return new ConnectError(`Message over the limit: ${rawMessage}`, Code.InvalidArgument);
  }
  const undecodable = /^parse binary: (.*)$/s.exec(rawMessage);
  if (code === Code.Internal && undecodable !== null) {
    return new ConnectError(`Message cannot be decoded: ${undecodable[1]}`, Code.InvalidArgument);
  }
  return refusal;
}
