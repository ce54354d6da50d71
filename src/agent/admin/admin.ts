import { createServer } from "node:http";
import { BelayError } from "../../base/errors.ts";
import { bind, hostAndPortOf, parseListen } from "../../base/network/listen.ts";
import { isLoopback } from "../../base/network/loopback.ts";
import { addNumbers } from "./numbers.ts";
import { answer } from "./pages.ts";
import type { AgentFacts } from "./facts.ts";
import { MetricsRegistry } from "../../base/prometheus.ts";

/** Time within which a client must have sent its request. Milliseconds. */
const REQUEST_TIMEOUT = 5000;
/** Enough for the usual clients: a probe, a scraper, a user. */
const MOST_CONNECTIONS = 64;

/** The server of the agent's own pages. */
export interface Admin {
  /** `http://host:port` or `unix:/path`. */
  readonly address: string;
  /** Stops the server, and requests that are under way. */
  close(): Promise<void>;
}

/**
 * Serves the agent's own pages: see `answer`. They show numbers, the job's id and its state, and change nothing.
 *
 * @param text `host:port`, `[v6]:port` or `unix:/path`; port 0 picks a free one
 * @param insecure allows an address that other machines can reach; clients are not authenticated
 * @throws BelayError `BAD_USAGE`, `ADDRESS_IN_USE`
 */
export async function serveAdmin(text: string, insecure: boolean, facts: AgentFacts): Promise<Admin> {
  const address = parseListen(text);
  if (address.kind === "tcp" && !insecure && !isLoopback(address.host)) {
    throw new BelayError(
      "BAD_USAGE",
      `Refusing to serve the agent's pages on "${text}": other machines could read them. ` +
        "Use 127.0.0.1 or unix:/path, or allow it with --insecure",
    );
  }
  const numbers = new MetricsRegistry();
  addNumbers(numbers, facts);
  const server = createServer(
    { headersTimeout: REQUEST_TIMEOUT, requestTimeout: REQUEST_TIMEOUT, keepAliveTimeout: REQUEST_TIMEOUT },
    (request, response) => answer(request, response, facts, numbers),
  );
  server.maxConnections = MOST_CONNECTIONS;
  await bind(server, address);
  // The server does not keep the agent's process alive.
  server.unref();
  return {
    address: address.kind === "unix" ? `unix:${address.path}` : `http://${hostAndPortOf(server, address.host)}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
