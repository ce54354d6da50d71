import { sleep } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import { messageOf } from "../../base/errors.ts";
import type { MetricSample } from "../../gen/belay/v1/job_pb.ts";

/** Takes a sample of what the job uses at every interval, and hands it on. */
export class MetricsLoop {
  private readonly interval: number;
  private readonly take: () => Promise<MetricSample | undefined>;
  private readonly emit: (sample: MetricSample) => void;
  private readonly logger: Logger;

  /** @param interval milliseconds; 0: never */
  constructor(
    interval: number,
    take: () => Promise<MetricSample | undefined>,
    emit: (sample: MetricSample) => void,
    logger: Logger,
  ) {
    this.interval = interval;
    this.take = take;
    this.emit = emit;
    this.logger = logger;
  }

  async run(signal: AbortSignal): Promise<void> {
    if (this.interval === 0) return;
    while (!signal.aborted) {
      await sleep(this.interval, signal);
      if (!signal.aborted) await this.now();
    }
  }

  /** Never throws: a sample that cannot be had is left out. */
  private async now(): Promise<void> {
    try {
      const sample = await this.take();
      if (sample !== undefined) this.emit(sample);
    } catch (error) {
      this.logger.debug("Cannot sample the job's usage", { error: messageOf(error) });
    }
  }
}
