import { backoffDelay } from "../../base/backoff.ts";
import type { Clock } from "../../base/clock.ts";
import { within } from "../../base/deadline.ts";
import { messageOf } from "../../base/errors.ts";
import type { Logger } from "../../base/logger.ts";
import { MiB } from "../../base/text/sizes.ts";
import type { SpanQueue } from "../store/span-queue.ts";
import type { SpanRecord } from "./span-record.ts";

/** Most spans and bytes of one export. */
const BATCH = { count: 256, bytes: 1 * MiB };
/** How long spans are gathered before they are exported. */
const GATHER_MS = 500;
const RETRY = { base: 1_000, cap: 60_000 };
/** HTTP statuses that refuse a batch for its content. A retry would be refused again. */
const BAD_DATA: ReadonlySet<unknown> = new Set([400, 413, 422]);

/** Sends spans. @returns what went wrong; undefined: they were accepted */
export type SendSpans = (spans: readonly SpanRecord[]) => Promise<Error | undefined>;

/** Options of a pump. */
export interface SpanPumpOptions {
  readonly queue: SpanQueue;
  readonly send: SendSpans;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Sends spans that have ended to the collector, batch by batch, oldest first.
 *
 * Law: a span stays in the queue until the collector has accepted it, or has refused it for its content. While the
 * collector is away, spans wait; they are sent again with back-off, also after a restart of the tracker. No job and no
 * caller waits for the pump.
 */
export class SpanPump {
  /** How many spans the collector has accepted. */
  exported = 0;
  /** How many spans the collector has refused. */
  refused = 0;
  private readonly options: SpanPumpOptions;
  private readonly over = new AbortController();
  private failures = 0;
  private running: Promise<void> = Promise.resolve();
  private interrupt: () => void = () => undefined;
  private hasMore = true;
  private stopped = false;

  constructor(options: SpanPumpOptions) {
    this.options = options;
  }

  start(): void {
    this.running = this.run();
  }

  /** Must be called when there are new spans, or will be as soon as the store has them. */
  wake(): void {
    this.hasMore = true;
    if (this.failures === 0) this.interrupt();
  }

  /** Sends what is waiting, for at most `ms` milliseconds, then stops. What is left waits for the next start. */
  async close(ms: number): Promise<void> {
    this.over.abort();
    this.interrupt();
    const emptied = this.running.then(() => this.empty());
    await within(ms, emptied, () => undefined);
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

  /** Sends everything that waits, until an export fails. Never throws. */
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
        logger.warn("Cannot export spans; they wait and are sent again", {
          error: messageOf(error),
          waiting: queue.count,
        });
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
    // The store is closed. These spans will be sent again, with the same ids.
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
      this.interrupt = () => {
        // New spans do not shorten a timed pause; only `close` does.
        if (ms !== undefined && !this.over.signal.aborted) return;
        timer?.cancel();
        resolve();
      };
      if (this.over.signal.aborted) this.interrupt();
    });
  }
}
