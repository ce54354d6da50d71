import { BelayError } from "../errors.ts";
import { isLoopback } from "./loopback.ts";

/** An address of a tracker. */
export type TrackerAddress = TcpAddress | UnixAddress;

/** `http://host:port` or `https://host:port`. */
export interface TcpAddress {
  readonly kind: "tcp";
  /** As the user wrote it, for messages. */
  readonly text: string;
  readonly tls: boolean;
  /** A name, or an IP address without brackets. */
  readonly host: string;
  readonly port: number;
  /** Whether the connection never leaves this machine. */
  readonly local: boolean;
}

/** `unix:/path` or `unix:///path`. */
export interface UnixAddress {
  readonly kind: "unix";
  readonly text: string;
  readonly tls: false;
  readonly path: string;
  readonly local: true;
}

/**
 * Parses a tracker's address, or several separated by commas.
 *
 * @param what name of the value in an error
 * @returns at least one
 * @throws BelayError `BAD_USAGE`
 */
export function parseTrackerAddresses(text: string, what = "--tracker"): readonly TrackerAddress[] {
  return text.split(",").map((part) => parseTrackerAddress(part.trim(), what));
}

function parseTrackerAddress(text: string, what: string): TrackerAddress {
  const wrong = (problem: string): BelayError =>
    new BelayError(
      "BAD_USAGE",
      `Cannot use ${what} "${text}": ${problem}; expected http://host:port, https://host:port or unix:/path`,
    );
  if (text === "") throw wrong("it is empty");
  if (text.startsWith("unix:")) {
    const path = text.slice("unix:".length).replace(/^\/\/(?=\/)/, "");
    if (!path.startsWith("/")) throw wrong("the socket's path must be absolute");
    return { kind: "unix", text, tls: false, path, local: true };
  }
  if (!/^https?:\/\//i.test(text)) {
    const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1];
    throw wrong(scheme === undefined ? "it has no scheme" : `scheme "${scheme}" is not known`);
  }
  if (/\[[^\]]*%/.test(text)) throw wrong("an address with a zone is not supported");
  if (!URL.canParse(text)) throw wrong("it is not a URL");
  const url = new URL(text);
  if (url.username !== "" || url.password !== "") throw wrong("credentials belong in --token-file");
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") throw wrong("it has more than host and port");
  const tls = url.protocol === "https:";
  const port = url.port === "" ? (tls ? 443 : 80) : Number(url.port);
  if (port === 0) throw wrong("no server listens on port 0");
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  // Linux connects to the unspecified address through the loopback interface.
  return { kind: "tcp", text, tls, host, port, local: isLoopback(host) || host === "0.0.0.0" || host === "::" };
}

/** `host:port`, with brackets around an IPv6 address. */
export function hostAndPort({ host, port }: Pick<TcpAddress, "host" | "port">): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** The name of the server in a request. */
export function authorityOf(address: TrackerAddress): string {
  return address.kind === "unix" ? "localhost" : hostAndPort(address);
}
