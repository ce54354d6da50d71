import { readFileSync } from "node:fs";
import { Agent } from "node:http";
import { Agent as SecureAgent } from "node:https";
import { within } from "../../base/deadline.ts";
import { BelayError, messageOf } from "../../base/errors.ts";
import type { OtlpOptions } from "../options.ts";

/** Default of the longest time for an export. */
const TIMEOUT_MS = 10_000;
/** After how many time-outs an export's connections are cut: an answer of one byte a second would never end. */
const CUT_AFTER_TIMEOUTS = 1.5;

/** The result of one export, as the SDK's exporters report it. */
interface ExportResult {
  /** 0: accepted. */
  readonly code: number;
  readonly error?: Error;
}

/** The destination of spans and metrics: one OTLP endpoint over HTTP, and our connections to it. */
export class Collector {
  /** Its name in a log, without path and credentials. */
  readonly origin: string;
  private readonly endpoint: string;
  private readonly headers: Readonly<Record<string, string>> | undefined;
  /** Longest time for an export, including its retries. */
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

  /** Options for an exporter of the SDK. Without `headers`, the exporter reads those of the environment. */
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
   * @returns what went wrong; undefined: it was accepted
   */
  async outcome(start: (done: (result: ExportResult) => void) => void): Promise<Error | undefined> {
    const { promise, resolve } = Promise.withResolvers<Error | undefined>();
    start(({ code, error }) => resolve(code === 0 ? undefined : (error ?? new Error("The collector refused it"))));
    const patience = this.timeout * CUT_AFTER_TIMEOUTS;
    return within(patience, promise, () => {
      this.cut();
      return new Error(`No answer within ${patience} ms`);
    });
  }

  /** Closes every connection at once. New requests open new ones. */
  cut(): void {
    this.agent.destroy();
  }
}

/** Reads a file that an OpenTelemetry variable of the environment names. */
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
