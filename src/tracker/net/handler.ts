import type { ServerResponse } from "node:http";
import { constants } from "node:http2";
import { isIPv6 } from "node:net";
import type { DescMethod } from "@bufbuild/protobuf";
import type { ConnectRouter, ConnectRouterOptions } from "@connectrpc/connect";
import { Code, ConnectError, createConnectRouter, createContextValues } from "@connectrpc/connect";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import { universalRequestFromNodeRequest, universalResponseToNodeResponse } from "@connectrpc/connect-node";
import { type Clock, MAX_TIMEOUT_MS } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import type { Logger } from "../../base/logger.ts";
import { JobService } from "../../gen/belay/v1/job_service_pb.ts";
import { answerCors } from "./cors.ts";
import { type AnyRequest, type AnyResponse, sendText } from "./http.ts";
import { JsonErrors } from "./json-errors.ts";
import { nodeRequestKey, whenOverKey } from "./caller.ts";
import { refuseCall } from "./refusals.ts";
import { isPlainGrpc, type RawCall, rawCall, rawCallKey } from "./raw-call.ts";

/** The dependencies and settings of the handler. */
export interface HandlerTools {
  readonly logger: Logger;
  readonly clock: Clock;
  /** Origins whose pages may call from a browser. */
  readonly cors: readonly string[];
  /** Milliseconds for a whole request, agents' streams apart. */
  readonly requestTimeout: number;
}

/**
 * Makes the function that answers HTTP requests.
 *
 * It does what `connectNodeAdapter` does, with two differences: a request that cannot be understood, such as one with
 * a malformed Host, is answered with 400 instead of taking the process down, and failures go to our log instead of the
 * console.
 *
 * @param fallback answers requests that do not call a service
 */
export function createHandler(
  options: ConnectRouterOptions,
  routes: (router: ConnectRouter) => void,
  fallback: (request: AnyRequest, response: AnyResponse) => void,
  { logger, clock, requestTimeout, cors }: HandlerTools,
): (request: AnyRequest, response: AnyResponse) => void {
  const router = createConnectRouter(options);
  routes(router);
  const jsonErrors = new JsonErrors(JobService);
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));

  async function answer(request: AnyRequest, response: AnyResponse): Promise<void> {
    const handler = handlers.get(request.url?.split("?", 1)[0] ?? "");
    if (handler === undefined) {
      fallback(request, response);
      return;
    }
    if (refuseCall(handler, request, response)) return;
    if (handler.method.methodKind !== "bidi_streaming") limitTime(request, response);
    dropEndlessTimeout(request);
    putBracketsBack(request);
    const contextValues = createContextValues()
      .set(nodeRequestKey, request)
      .set(rawCallKey, rawCallOf(request, handler.method.methodKind))
      .set(whenOverKey, (undo) => whenOver(response, undo));
    // The types know pairs only: a request of one HTTP goes with the response of the same.
    const call = universalRequestFromNodeRequest(request, response as ServerResponse, undefined, contextValues);
    const answered = withReadableStatus(await jsonErrors.explained(await handler(call)));
    await universalResponseToNodeResponse(answered, response);
  }

  /** Streams may carry the output of jobs: their handlers may read and write messages without connect-node. */
  function rawCallOf(request: AnyRequest, kind: DescMethod["methodKind"]): RawCall | undefined {
    if (kind === "unary" || !("stream" in request) || !isPlainGrpc(request.headers)) return undefined;
    return rawCall(request.stream, options.readMaxBytes ?? 0);
  }

  /** A request that is not complete in time keeps its call open; for HTTP/2, Node has no timeout for it. */
  function limitTime(request: AnyRequest, response: AnyResponse): void {
    if (request.complete || !("stream" in response)) return;
    const { stream } = response;
    const timer = clock.after(requestTimeout, () => {
      if (!request.complete && !stream.closed) stream.close(constants.NGHTTP2_CANCEL);
    });
    stream.once("close", () => timer.cancel());
  }

  return (request, response) => {
    // An error of the connection ends the call through its signal; the listener only keeps it from going unhandled.
    request.on("error", () => undefined);
    response.on("error", () => undefined);
    stopSending(request, response);
    if (cors.length > 0 && answerCors(cors, request, response)) return;
    answer(request, response).catch((error: unknown) => {
      const { code } = ConnectError.from(error);
      if (code !== Code.Aborted && code !== Code.Canceled) {
        logger.debug("A call broke off", { path: request.url, error: messageOf(error) });
      }
      if (response.headersSent) response.destroy();
      else sendText(response, 400, "Bad request");
    });
  };
}

function whenOver(response: AnyResponse, undo: () => void): void {
  const over = "stream" in response ? response.stream.destroyed : response.closed;
  if (over) undo();
  else response.once("close", undo);
}

/** Milliseconds of the units of `grpc-timeout`. */
const TIMEOUT_UNITS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 1e-3, n: 1e-6 };

/** A deadline too far away for Node's timers is ignored; connect-node would refuse the call, and warn. */
function dropEndlessTimeout({ headers }: AnyRequest): void {
  const [, count, unit = ""] = /^(\d{1,8})([HMSmun])$/.exec(String(headers["grpc-timeout"] ?? "")) ?? [];
  if (Number(count) * (TIMEOUT_UNITS[unit] ?? 0) > MAX_TIMEOUT_MS) delete headers["grpc-timeout"];
  if (Number(headers["connect-timeout-ms"]) > MAX_TIMEOUT_MS) delete headers["connect-timeout-ms"];
}

/** Node's HTTP/2 client names an IPv6 host without its brackets, and connect-node would refuse the call. */
function putBracketsBack({ headers }: AnyRequest): void {
  const [, host, port] =
    /^([\da-f]*:[\da-f:.]*:[\da-f.]*):(\d{1,5})$/i.exec(headers[":authority"]?.toString() ?? "") ?? [];
  if (host !== undefined && isIPv6(host)) headers[":authority"] = `[${host}]:${port}`;
}

/**
 * Asks a client that is still sending to stop, once its whole answer is on its way (RFC 9113, section 8.1): what it
 * sends is not read any more and would only fill the connection's window. It also ends the call of a client that has
 * vanished; Node's own "finish" of a response comes only when the client has ended the call as well.
 */
function stopSending(request: AnyRequest, response: AnyResponse): void {
  if (!("stream" in response)) return;
  const { stream } = response;
  // Trailers are sent last. This event comes when they are due, even if the call has no trailers.
  stream.once("wantTrailers", () => {
    setImmediate(() => {
      if (!request.complete && !stream.closed) stream.close(constants.NGHTTP2_NO_ERROR);
    });
  });
}

/**
 * Percent-encodes a message of gRPC only where its specification asks for it. connect-node encodes commas and colons,
 * too, and grpc-js does not decode those: its users would read "Job%3A".
 */
function withReadableStatus(answer: UniversalServerResponse): UniversalServerResponse {
  const { trailer } = answer;
  if (trailer === undefined) return answer;
  return {
    ...answer,
    // Read when the body is through: only then is the status known.
    get trailer() {
      const encoded = trailer.get("grpc-message");
      if (encoded !== null) {
        const message = decodeURIComponent(encoded);
        trailer.set("grpc-message", message.replaceAll(/[^ -$&-~]+/g, encodeURIComponent));
      }
      return trailer;
    },
  };
}
