import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { onTestFinished } from "vitest";
import type { ReceivedPoint, ReceivedSpan } from "./otlp-decode.ts";
import { decodePoints, decodeSpans } from "./otlp-decode.ts";

/** How a collector treats a request: accepts it, never answers, answers slowly, or answers with a status. */
export type Behavior = "take" | "hang" | "trickle" | number;

/** An OTLP endpoint over HTTP that keeps the requests. It is closed when the test is over. */
export class OtlpCollector {
  readonly spans: ReceivedSpan[] = [];
  readonly points: ReceivedPoint[] = [];
  /** The body of each request, unchanged. */
  readonly bodies: Buffer[] = [];
  /** Headers of each request. */
  readonly headers: IncomingMessage["headers"][] = [];
  behavior: Behavior = "take";
  /** Number of requests so far. */
  requests = 0;
  private server: Server | undefined;
  private port = 0;
  private readonly waiting = new Set<() => void>();

  static async start(): Promise<OtlpCollector> {
    const collector = new OtlpCollector();
    await collector.open();
    onTestFinished(() => collector.close());
    return collector;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Listens; again on the same port after `close`. */
  async open(): Promise<void> {
    const server = createServer((request, response) => void this.answer(request, response).catch(() => undefined));
    this.server = server;
    await new Promise<void>((resolve) => server.listen(this.port, "127.0.0.1", resolve));
    this.port = (server.address() as AddressInfo).port;
  }

  /** Refuses connections from now on. */
  async close(): Promise<void> {
    const { server } = this;
    this.server = undefined;
    server?.closeAllConnections();
    await new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
  }

  /** Waits until a function, which is called after each request, returns a value. */
  async until<T>(ask: () => T | undefined | false): Promise<T> {
    for (;;) {
      const found = ask();
      if (found !== undefined && found !== false) return found;
      await new Promise<void>((resolve) => this.waiting.add(resolve));
    }
  }

  /** Waits for a span of this name. */
  span(name: string, accept: (span: ReceivedSpan) => boolean = () => true): Promise<ReceivedSpan> {
    return this.until(() => this.spans.find((span) => span.name === name && accept(span)));
  }

  /** The latest point of a metric, if any came. */
  latest(metric: string, accept: (point: ReceivedPoint) => boolean = () => true): ReceivedPoint | undefined {
    return this.points.findLast((point) => point.metric === metric && accept(point));
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await buffer(request);
    this.requests++;
    this.headers.push(request.headers);
    this.bodies.push(body);
    const { behavior } = this;
    if (behavior === "take") {
      if (request.headers["content-type"] !== "application/x-protobuf") throw new Error("Not protobuf");
      if (request.url === "/v1/traces") this.spans.push(...decodeSpans(body));
      else if (request.url === "/v1/metrics") this.points.push(...decodePoints(body));
      response.writeHead(200, { "content-type": "application/x-protobuf" }).end();
    } else if (behavior === "trickle") {
      response.writeHead(200).write("x");
      const timer = setInterval(() => response.write("x"), 200);
      response.on("close", () => clearInterval(timer));
    } else if (behavior !== "hang") {
      response.writeHead(behavior).end("not now");
    }
    for (const wake of this.waiting) wake();
    this.waiting.clear();
  }
}
