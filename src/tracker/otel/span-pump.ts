import { backoffDelay } from "../../base/backoff.ts";
import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import type { Logger } from "../../base/logger.ts";
import { MiB } from "../../base/sizes.ts";
import type { SpanQueue } from "../store/span-queue.ts";
import type { SpanRecord } from "./span-record.ts";

/** Spans that are exported together. */
const BATCH = { count: 256, bytes: 1 * MiB };
/** Time for which spans are gathered before they are exported. */
const GATHER_MS = 500;
const RETRY = { base: 1_000, cap: 60_000 };
/** Statuses of HTTP by which a batch is refused for what it holds: to send it again would be refused again. */
const BAD_DATA: ReadonlySet<unknown> = new Set([400, 413, 422]);

/** Sends spans. @returns what went wrong; undefined: they were taken */
export type SendSpans = (spans: readonly SpanRecord[]) => Promise<Error | undefined>;

/** What a pump needs. */
export interface SpanPumpOptions {
  readonly queue: SpanQueue;
  readonly send: SendSpans;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Brings spans that are over to the collector, batch by batch, oldest first.
 *
 * Law: a span stays in the queue until the collector has taken it, or has refused it for what it is. While the collector
 * is away, spans wait; they are sent again with back-off, after a restart of the tracker, too. Nobody waits for this.
 */
export class SpanPump {
  /** Spans that the collector has taken. */
  exported = 0;
  /** Spans that it has refused. */
  refused = 0;
  private readonly options: SpanPumpOptions;
  private readonly over = new AbortController();
  private failures = 0;
  private running: Promise<void> = Promise.resolve();
  private rouse: () => void = () => undefined;
  private hasMore = true;
  private stopped = false;

  constructor(options: SpanPumpOptions) {
    this.options = options;
  }

  start(): void {
    this.running = this.run();
  }

  /** There are new spans, or will be as soon as the store has them. */
  wake(): void {
    this.hasMore = true;
    if (this.failures === 0) this.rouse();
  }

  /** Sends what waits if that can be done within some milliseconds, then stops. What is left waits for the next start. */
  async close(ms: number): Promise<void> {
    this.over.abort();
    this.rouse();
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    await Promise.race([this.running.then(() => this.empty()), promise]);
    clearTimeout(timer);
    this.stopped = true;
  }

  private async run(): Promise<void> {
    const { signal } = this.over;
    while (!signal.aborted) {
      if (!this.hasMore) await this.pause(undefined);
      if (signal.aborted) return;
      await this.pause(this.failures === 0 ? GATHER_MS : backoffDelay(this.failures, RETRY));
      if (signal.aborted) return;
      await this.empty();
    }
  }

  /** Sends all that waits, until something goes wrong. Never throws. */
  private async empty(): Promise<void> {
    try {
      do this.hasMore = false;
      while ((await this.sendBatch()) || this.hasMore);
      if (this.stopped) return;
      if (this.failures > 0) this.options.logger.info("Spans are exported again");
      this.failures = 0;
    } catch (error) {
      const { queue, logger } = this.options;
      this.hasMore = true;
      if (this.stopped) return;
      if (this.failures++ === 0) {
        logger.warn("Cannot export spans: they wait", { error: messageOf(error), waiting: queue.count });
      }
    }
  }

  /** @returns whether there may be more */
  private async sendBatch(): Promise<boolean> {
    const { queue, send, logger } = this.options;
    if (this.stopped) return false;
    const { last, bodies } = queue.oldest(BATCH);
    if (bodies.length === 0) return false;
    const problem = await send(bodies.map((body) => JSON.parse(body) as SpanRecord));
    // The store is closed: they will be sent again, as the same spans.
    if (this.stopped) return false;
    if (problem === undefined) {
      this.exported += bodies.length;
    } else if (BAD_DATA.has((problem as { code?: unknown }).code)) {
      this.refused += bodies.length;
      logger.warn("Spans were refused", { error: messageOf(problem), spans: bodies.length });
    } else {
      throw problem;
    }
    await queue.remove(last);
    return true;
  }

  /** @param ms undefined: until there are new spans */
  private pause(ms: number | undefined): Promise<void> {
    return new Promise((resolve) => {
      const timer = ms === undefined ? undefined : this.options.clock.after(ms, resolve);
      this.rouse = () => {
        // New spans do not end the time in which they are gathered; the end does.
        if (ms !== undefined && !this.over.signal.aborted) return;
        timer?.cancel();
        resolve();
      };
      if (this.over.signal.aborted) this.rouse();
    });
  }
}
