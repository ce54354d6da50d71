import { readFileSync } from "node:fs";
import { Agent } from "node:http";
import { Agent as SecureAgent } from "node:https";
import { BelayError, messageOf } from "../../base/errors.ts";
import type { OtlpOptions } from "../options.ts";

/** Longest time for an export where nobody says another. */
const TIMEOUT_MS = 10_000;
/** When the connections of an export that has not ended by then are cut: one byte a second would keep it up for ever. */
const CUT_AFTER_TIMEOUTS = 1.5;

/** What the SDK's exporters say of one export. */
interface ExportResult {
  /** 0: it was taken. */
  readonly code: number;
  readonly error?: Error;
}

/** Where spans and metrics go: one OTLP endpoint over HTTP, and our connections to it. */
export class Collector {
  /** What it may be called in a log: no path, no credentials. */
  readonly origin: string;
  private readonly endpoint: string;
  private readonly headers: Readonly<Record<string, string>> | undefined;
  /** Longest time for an export, its repetitions included. */
  readonly timeout: number;
  private readonly agent: Agent;

  /** @throws BelayError `BAD_USAGE` when a certificate that the environment names cannot be read */
  constructor({ endpoint, headers, timeout = TIMEOUT_MS }: OtlpOptions) {
    this.timeout = timeout;
    const url = new URL(endpoint);
    this.origin = url.origin;
    this.endpoint = endpoint.replace(/\/+$/, "");
    this.headers = headers;
    const options = { keepAlive: true, maxSockets: 2 };
    this.agent =
      url.protocol === "http:"
        ? new Agent(options)
        : new SecureAgent({
            ...options,
            ...pem("ca", "CERTIFICATE"),
            ...pem("cert", "CLIENT_CERTIFICATE"),
            ...pem("key", "CLIENT_KEY"),
          });
  }

  /** Options of an exporter of the SDK. Headers that we do not set are the environment's. */
  exporterOptions(signal: "traces" | "metrics"): {
    url: string;
    headers?: Record<string, string>;
    timeoutMillis: number;
    httpAgentOptions: () => Agent;
  } {
    return {
      url: `${this.endpoint}/v1/${signal}`,
      ...(this.headers === undefined ? {} : { headers: { ...this.headers } }),
      timeoutMillis: this.timeout,
      httpAgentOptions: () => this.agent,
    };
  }

  /**
   * Waits for an export.
   *
   * @returns what went wrong; undefined: it was taken
   */
  async outcome(start: (done: (result: ExportResult) => void) => void): Promise<Error | undefined> {
    const { promise, resolve } = Promise.withResolvers<Error | undefined>();
    const patience = this.timeout * CUT_AFTER_TIMEOUTS;
    const timer = setTimeout(() => {
      this.cut();
      resolve(new Error(`No answer within ${patience} ms`));
    }, patience);
    start(({ code, error }) => resolve(code === 0 ? undefined : (error ?? new Error("It was refused"))));
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends every connection, at once. New requests make new ones. */
  cut(): void {
    this.agent.destroy();
  }
}

/** A file that the environment names, as OpenTelemetry has it. */
function pem(key: string, name: string): Record<string, Buffer> {
  const variable = `OTEL_EXPORTER_OTLP_${name}`;
  const path = process.env[variable] ?? "";
  if (path === "") return {};
  try {
    return { [key]: readFileSync(path) };
  } catch (error) {
    throw new BelayError("BAD_USAGE", `Cannot read the file of ${variable}: ${messageOf(error)}`, { cause: error });
  }
}
