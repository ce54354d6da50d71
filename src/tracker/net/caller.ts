import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Http2ServerRequest } from "node:http2";
import type { HandlerContext } from "@connectrpc/connect";
import { Code, ConnectError, createContextKey } from "@connectrpc/connect";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import type { TrackerTokens } from "../options.ts";
import { looksSigned, verifyToken } from "./signed-token.ts";

/** What is known about the caller. */
export interface CallerFacts {
  /** The name that a client certificate or token proves. Empty: the tracker asks for neither. */
  readonly principal: string;
  /** The only job that the caller may run. Undefined: any job. */
  readonly jobId?: string | undefined;
  /** Cuts the connection, for a peer that no longer answers. */
  cut(): void;
}

/** The request of Node that a call came with. */
export const nodeRequestKey: ReturnType<typeof createContextKey<IncomingMessage | Http2ServerRequest | undefined>> =
  createContextKey<IncomingMessage | Http2ServerRequest | undefined>(undefined);

/** Runs a function when a call is over, the part of its answer included that waits for its reader; now if it is. */
export type WhenOver = (undo: () => void) => void;

/** Reports the end of a call. */
export const whenOverKey: ReturnType<typeof createContextKey<WhenOver>> = createContextKey<WhenOver>(() => undefined);

/** The name that the caller's token proves. */
const tokenKey = createContextKey("");

/** The only job that the caller's token is valid for. */
const jobKey = createContextKey<string | undefined>(undefined);

const AGENT_SERVICE = "belay.v1.TrackerService";
const HEALTH_SERVICE = "grpc.health.v1.Health";

interface KnownToken {
  readonly digest: Buffer;
  readonly principal: string;
  readonly operator: boolean;
}

interface Identity {
  readonly principal: string;
  readonly operator: boolean;
  readonly jobId?: string;
}

/**
 * The tokens that count, and the gate that every call passes before a byte of its body is read: the bearer token must
 * be known, and good for the service. Operators may call everything; agents TrackerService, with a signed token for
 * the one job that it names; anybody the health service.
 */
export class TokenGate {
  private known: readonly KnownToken[] = [];
  private keys: readonly string[] = [];

  constructor(tokens: TrackerTokens) {
    this.replace(tokens);
  }

  /** Replaces all tokens. Open streams stay open. */
  replace(tokens: TrackerTokens): void {
    const { operator, agent, keys = [] } = tokens;
    this.known = [
      ...operator.map((token, i) => ({
        digest: digest(token),
        principal: `operator-token-${i + 1}`,
        operator: true,
      })),
      ...agent.map((token, i) => ({ digest: digest(token), principal: `agent-token-${i + 1}`, operator: false })),
    ];
    this.keys = keys;
  }

  /** @throws ConnectError UNAUTHENTICATED or PERMISSION_DENIED */
  async check(context: HandlerContext): Promise<void> {
    const service = context.service.typeName;
    if (service === HEALTH_SERVICE) return;
    const token = bearerOf(context.requestHeader.get("authorization"));
    if (token === undefined) {
      throw new ConnectError('A token is needed: expected the header "authorization: Bearer …"', Code.Unauthenticated);
    }
    const identity = await this.identify(token);
    if (!identity.operator && service !== AGENT_SERVICE) {
      throw new ConnectError(`An agent's token does not allow calls of ${service}`, Code.PermissionDenied);
    }
    context.values.set(tokenKey, identity.principal);
    context.values.set(jobKey, identity.jobId);
  }

  /** Whether a token is an operator's: for pages that are no calls. */
  isOperator(authorization: string | undefined): boolean {
    const token = bearerOf(authorization ?? null);
    return token !== undefined && findToken(this.known, token)?.operator === true;
  }

  private async identify(token: string): Promise<Identity> {
    const known = findToken(this.known, token);
    if (known !== undefined) return known;
    if (this.keys.length > 0 && looksSigned(token)) {
      const signed = await verifyToken(this.keys, token);
      if ("problem" in signed) throw new ConnectError(signed.problem, Code.Unauthenticated);
      return { principal: `job-token-${signed.id}`, operator: false, jobId: signed.jobId };
    }
    throw new ConnectError("The token is not known", Code.Unauthenticated);
  }
}

function bearerOf(header: string | null): string | undefined {
  return /^Bearer +(\S+)$/i.exec(header ?? "")?.[1];
}

/** Compares with the digests of all tokens, so that the time it takes depends on none of them. */
function findToken(known: readonly KnownToken[], token: string): KnownToken | undefined {
  const wanted = digest(token);
  let found: KnownToken | undefined;
  for (const candidate of known) if (timingSafeEqual(candidate.digest, wanted)) found ??= candidate;
  return found;
}

function digest(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

/** Identifies the caller of a call. */
export function callerOf(context: HandlerContext): CallerFacts {
  const request = context.values.get(nodeRequestKey);
  const token = context.values.get(tokenKey);
  const principal = token === "" ? certificateName(request) : token;
  return { principal, jobId: context.values.get(jobKey), cut: () => cut(request) };
}

/** The client to which a limit counts a call: the name that token or certificate proves, else the remote address. */
export function limitedClient(context: HandlerContext): string {
  const { principal } = callerOf(context);
  if (principal !== "") return principal;
  const request = context.values.get(nodeRequestKey);
  return request === undefined ? "" : (socketOf(request)?.remoteAddress ?? "a local socket");
}

function socketOf(request: IncomingMessage | Http2ServerRequest): Socket | undefined {
  return "stream" in request ? request.stream.session?.socket : request.socket;
}

function certificateName(request: IncomingMessage | Http2ServerRequest | undefined): string {
  const socket = request === undefined ? undefined : socketOf(request);
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
