import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Http2ServerRequest } from "node:http2";
import type { HandlerContext } from "@connectrpc/connect";
import { Code, ConnectError, createContextKey } from "@connectrpc/connect";
import { TLSSocket } from "node:tls";
import type { TrackerOptions } from "../options.ts";

/** What the connection of a call tells about who calls. */
export interface CallerFacts {
  /** Identity as a client certificate or token proves it. Empty: nobody was asked. */
  readonly principal: string;
  /** Cuts the connection, for a peer that no longer answers. */
  cut(): void;
}

/** The request of Node that a call came with. */
export const nodeRequestKey: ReturnType<typeof createContextKey<IncomingMessage | Http2ServerRequest | undefined>> =
  createContextKey<IncomingMessage | Http2ServerRequest | undefined>(undefined);

/** Who calls, as their token shows. */
const tokenKey = createContextKey("");

const AGENT_SERVICE = "belay.v1.TrackerService";
const HEALTH_SERVICE = "grpc.health.v1.Health";

interface KnownToken {
  readonly digest: Buffer;
  readonly principal: string;
  readonly operator: boolean;
}

/**
 * Makes the gate that every call passes before a byte of its body is read: the bearer token must be known, and good
 * for the service. Operators may call everything, agents TrackerService, anybody the health service.
 */
export function tokenGate(tokens: NonNullable<TrackerOptions["tokens"]>): (context: HandlerContext) => void {
  const known: KnownToken[] = [
    ...tokens.operator.map((token, i) => ({
      digest: digest(token),
      principal: `operator-token-${i + 1}`,
      operator: true,
    })),
    ...tokens.agent.map((token, i) => ({ digest: digest(token), principal: `agent-token-${i + 1}`, operator: false })),
  ];
  return (context) => {
    const service = context.service.typeName;
    if (service === HEALTH_SERVICE) return;
    const token = /^Bearer +(\S+)$/i.exec(context.requestHeader.get("authorization") ?? "")?.[1];
    if (token === undefined) {
      throw new ConnectError('A token is needed: expected the header "authorization: Bearer …"', Code.Unauthenticated);
    }
    const found = findToken(known, token);
    if (found === undefined) throw new ConnectError("The token is not known", Code.Unauthenticated);
    if (!found.operator && service !== AGENT_SERVICE) {
      throw new ConnectError(`An agent's token does not allow calls of ${service}`, Code.PermissionDenied);
    }
    context.values.set(tokenKey, found.principal);
  };
}

/** Compares digests, which have one length, and looks at all of them: the time taken says nothing about a token. */
function findToken(known: readonly KnownToken[], token: string): KnownToken | undefined {
  const wanted = digest(token);
  let found: KnownToken | undefined;
  for (const candidate of known) if (timingSafeEqual(candidate.digest, wanted)) found ??= candidate;
  return found;
}

function digest(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

/** Says who calls. */
export function callerOf(context: HandlerContext): CallerFacts {
  const request = context.values.get(nodeRequestKey);
  const token = context.values.get(tokenKey);
  return { principal: token === "" ? certificateName(request) : token, cut: () => cut(request) };
}

function certificateName(request: IncomingMessage | Http2ServerRequest | undefined): string {
  const socket = request !== undefined && "stream" in request ? request.stream.session?.socket : request?.socket;
  if (!(socket instanceof TLSSocket) || !socket.authorized) return "";
  const name = socket.getPeerCertificate().subject?.CN;
  return typeof name === "string" ? name : "";
}

/** Not within the handler's own turn: destroying a session there crashes some versions of Node (nodejs/node#64850). */
function cut(request: IncomingMessage | Http2ServerRequest | undefined): void {
  if (request === undefined) return;
  setImmediate(() => {
    if ("stream" in request) request.stream.session?.destroy();
    else request.socket.destroy();
  });
}
