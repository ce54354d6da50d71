import { Code, ConnectError } from "@connectrpc/connect";

/**
 * What an agent is told when its stream cannot go on. A message that is too large or cannot be decoded would be sent
 * again and fail again, so it is the agent's mistake: connect-node calls it a shortage, or a fault of the tracker's own.
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
