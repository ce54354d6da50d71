import { BelayError } from "../../base/errors.ts";

/** Where a tracker listens. */
export interface Address {
  /** As the user wrote it, for messages. */
  readonly text: string;
  /** In grpc-js's words: `dns:host:port` or `unix:/path`. */
  readonly target: string;
  readonly tls: boolean;
  /** Whether the way there never leaves this machine. */
  readonly local: boolean;
}

/**
 * Reads a tracker's address, or several with commas between.
 *
 * @throws BelayError `BAD_USAGE`
 */
export function parseAddresses(text: string): Address[] {
  const addresses = text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map(parseAddress);
  if (addresses.length === 0) {
    throw new BelayError("BAD_USAGE", `Cannot parse the tracker's address "${text}": expected ${EXPECTED}`);
  }
  return addresses;
}

const EXPECTED = `"http://host:port", "https://host:port" or "unix:/path"`;

function parseAddress(text: string): Address {
  if (text.startsWith("unix:")) {
    const path = text.slice("unix:".length).replace(/^\/\/(?=\/)/, "");
    if (!path.startsWith("/")) throw bad(text, `an absolute path after "unix:"`);
    return { text, target: `unix:${path}`, tls: false, local: true };
  }
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !["http:", "https:"].includes(url.protocol) || url.hostname === "")
    throw bad(text, EXPECTED);
  if (url.username !== "" || url.password !== "") throw bad(text, "no user name or password in it; use --token-file");
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") throw bad(text, "nothing after host and port");
  const tls = url.protocol === "https:";
  const port = url.port === "" ? (tls ? "443" : "80") : url.port;
  return { text, target: `dns:${url.hostname}:${port}`, tls, local: isLoopback(url.hostname) };
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(host);
}

function bad(text: string, expected: string): BelayError {
  return new BelayError("BAD_USAGE", `Cannot parse the tracker's address "${text}": expected ${expected}`);
}
