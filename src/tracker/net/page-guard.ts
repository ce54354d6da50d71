import { isIP } from "node:net";
import type { ListenAddress } from "../../base/network/listen.ts";
import { isLoopback } from "../../base/network/loopback.ts";
import type { AnyRequest } from "./http.ts";

/**
 * Keeps web pages out where nothing proves who calls: a tracker without tokens and client certificates is open to every
 * program that reaches it, and a browser is one that runs programs of strangers. Any page can have its own name point to
 * 127.0.0.1 for a moment (DNS rebinding) and is then, for the browser, a page of the tracker.
 *
 * What shows a page: browsers send `Origin` with each call, and in `Host` the name in their address bar. A page may call
 * if `--cors` names its origin, or if it comes from the tracker itself, under a name that no stranger can have: an IP
 * address, localhost, or what the tracker listens on. Other programs send no `Origin`; their `Host` is looked at over
 * plain HTTP/1.1 only, all that a browser could speak here.
 */
export class PageGuard {
  private readonly cors: readonly string[];
  private readonly listen: ListenAddress;

  constructor(cors: readonly string[], listen: ListenAddress) {
    this.cors = cors;
    this.listen = listen;
  }

  /** Why a request is refused, for users. Undefined: it is not. */
  problem(request: AnyRequest): string | undefined {
    const { headers } = request;
    if (this.cors.includes("*")) return undefined;
    const authority = String(headers[":authority"] ?? headers.host ?? "");
    if (headers.origin !== undefined) {
      const { origin } = headers;
      if (this.cors.includes(origin) || (hostOf(origin) === authority.toLowerCase() && this.isOurs(authority)))
        return undefined;
      return `Pages of ${origin.slice(0, 200)} may not call this tracker: name the origin with --cors, or use tokens`;
    }
    const { socket } = request;
    const plainHttp1 = request.httpVersionMajor < 2 && !("encrypted" in socket && socket.encrypted);
    // HTTP/1.0 has no Host, and no browser speaks it.
    if (!plainHttp1 || authority === "" || this.isOurs(authority)) return undefined;
    const name = authority.slice(0, 200);
    return `This tracker is not known as "${name}": call it by its IP address or localhost, allow the name with --cors http://${name}, or use tokens`;
  }

  /** Whether no stranger can have this name for a page of theirs. */
  private isOurs(authority: string): boolean {
    const { listen, cors } = this;
    // Beyond this machine, --insecure has allowed all who reach it; a socket is out of a browser's reach.
    if (listen.kind === "unix" || !isLoopback(listen.host)) return true;
    const name = nameOf(authority);
    if (isIP(name) !== 0 || name === listen.host.toLowerCase() || /^(?:.+\.)?localhost$/.test(name)) return true;
    return cors.some((origin) => nameOf(hostOf(origin)) === name);
  }
}

/** `host:port` of an origin. Empty: it has none, as "null". */
function hostOf(origin: string): string {
  return URL.canParse(origin) ? new URL(origin).host : "";
}

/** A host without port, brackets and a dot at its end, in lower case. */
function nameOf(authority: string): string {
  return authority
    .toLowerCase()
    .replace(/:\d*$/, "")
    .replace(/^\[(.*)\]$/, "$1")
    .replace(/\.$/, "");
}
