import { BelayError } from "../../base/errors.ts";

/** Where a tracker listens. */
export interface Address {
  /** As given, for people. */
  readonly text: string;
  /** What HTTP/2 connects to, such as `http://127.0.0.1:7070`. */
  readonly origin: string;
  readonly tls: boolean;
  readonly host: string;
  readonly port: number;
  /** Given: the connection goes through this socket instead. */
  readonly socketPath?: string;
}

/** Where trackers listen unless told otherwise. */
export const DEFAULT_PORT = 7070;

/**
 * Reads `http://host:port`, `https://host:port` or `unix:/path`, several with commas.
 *
 * @param what how to call it in an error
 * @throws BelayError `BAD_USAGE`
 */
export function parseAddresses(text: string, what = "--tracker"): readonly Address[] {
  const parts = text.split(",").map((part) => part.trim());
  return parts.map((part) => parseAddress(part, what));
}

function parseAddress(text: string, what: string): Address {
  const wrong = (problem: string): BelayError =>
    new BelayError(
      "BAD_USAGE",
      `Cannot use ${what} "${text}": ${problem}; expected http://host:port, https://host:port or unix:/path`,
    );
  if (text === "") throw wrong("it is empty");
  if (text.startsWith("unix:")) {
    const socketPath = text.slice("unix:".length).replace(/^\/\/(?=\/)/, "");
    if (!socketPath.startsWith("/")) throw wrong("the socket's path must be absolute");
    return { text, origin: "http://localhost", tls: false, host: "localhost", port: 0, socketPath };
  }
  if (!/^https?:\/\//.test(text)) {
    const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1];
    throw wrong(scheme === undefined ? "it has no scheme" : `scheme "${scheme}" is not known`);
  }
  if (!URL.canParse(text)) throw wrong("it is no URL");
  const url = new URL(text);
  if (url.username !== "" || url.password !== "") throw wrong("credentials belong in --token-file");
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") throw wrong("it goes on after the port");
  const tls = url.protocol === "https:";
  const port = url.port === "" ? (tls ? 443 : 80) : Number(url.port);
  return { text, origin: url.origin, tls, host: url.hostname.replace(/^\[(.*)\]$/, "$1"), port };
}
