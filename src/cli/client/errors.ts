import { Code, ConnectError } from "@connectrpc/connect";
import { BelayError, messageOf } from "../../base/errors.ts";
import { diagnose } from "./diagnose.ts";
import { isPassing } from "./http-status.ts";
import { DialError } from "./session.ts";

/** What a failed call means. */
export interface Failure {
  /** The error to show. */
  readonly error: BelayError;
  /** Whether another attempt may succeed: the tracker is down, starting or overloaded. */
  readonly retry: boolean;
}

/**
 * Translates an error of a call to the tracker. The only place of the command line that handles gRPC's codes.
 *
 * @param tracker addresses as the user gave them
 */
export async function translate(thrown: unknown, tracker: string): Promise<Failure> {
  if (thrown instanceof BelayError) return { error: thrown, retry: false };
  const dial = causeOf(thrown, DialError);
  if (dial !== undefined) {
    if (dial.cause instanceof BelayError) return { error: dial.cause, retry: false };
    const { message, retry } = await diagnose(dial.address, dial.cause);
    const text = `Cannot reach the tracker at ${dial.address.text}: ${message}`;
    return { error: new BelayError("TRACKER_UNREACHABLE", text, { cause: thrown }), retry };
  }
  if (!(thrown instanceof ConnectError)) {
    const text = `The call to the tracker at ${tracker} failed: ${messageOf(thrown)}`;
    return { error: new BelayError("INTERNAL", text, { cause: thrown }), retry: false };
  }
  return translateCode(thrown, tracker);
}

function translateCode(thrown: ConnectError, tracker: string): Failure {
  const statusMessage = thrown.rawMessage;
  const fail = (code: ConstructorParameters<typeof BelayError>[0], text: string, retry = false): Failure => ({
    error: new BelayError(code, text, { cause: thrown }),
    retry,
  });
  const status = Number(/^HTTP (\d{3})$/.exec(statusMessage)?.[1]);
  if (isPassing(status)) {
    const text = `The proxy at ${tracker} cannot reach its tracker now (HTTP ${status})`;
    return fail("TRACKER_UNREACHABLE", text, true);
  }
  // connect-node's messages for an answer that is not gRPC. Its codes mislead here: a 404 page is Unimplemented.
  if (/unsupported content.type/i.test(statusMessage) || /^HTTP \d{3}/.test(statusMessage)) {
    return fail(
      "TRACKER_REFUSED",
      `The server at ${tracker} is not a Belay tracker: it does not answer in gRPC (${statusMessage})`,
    );
  }
  switch (thrown.code) {
    case Code.NotFound:
      return fail("NOT_FOUND", sentence(statusMessage));
    case Code.InvalidArgument:
    case Code.OutOfRange:
      return fail("BAD_USAGE", sentence(statusMessage));
    case Code.Unauthenticated:
      return fail(
        "TRACKER_REFUSED",
        `The tracker at ${tracker} requires a valid token: give one with --token-file (${statusMessage})`,
      );
    case Code.PermissionDenied:
      return fail("TRACKER_REFUSED", `The token does not allow this: ${statusMessage}`);
    case Code.Unimplemented:
      return fail(
        "TRACKER_REFUSED",
        `The server at ${tracker} does not know this call: it is not a Belay tracker, or an older one (${statusMessage})`,
      );
    case Code.AlreadyExists:
    case Code.FailedPrecondition:
      return fail("TRACKER_REFUSED", sentence(statusMessage));
    case Code.DataLoss:
      return fail("STORE", sentence(statusMessage));
    case Code.Canceled:
    case Code.Unknown:
    case Code.DeadlineExceeded:
    case Code.ResourceExhausted:
    case Code.Aborted:
    case Code.Internal:
    case Code.Unavailable:
      return fail("TRACKER_UNREACHABLE", `The tracker at ${tracker} did not answer: ${statusMessage}`, true);
    default:
      thrown.code satisfies never;
      return fail("INTERNAL", statusMessage);
  }
}

/** The first error of a class in a chain of causes. */
function causeOf<T extends Error>(error: unknown, kind: abstract new (...args: never[]) => T): T | undefined {
  for (let at = error, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth++) {
    if (at instanceof kind) return at;
  }
  return undefined;
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
