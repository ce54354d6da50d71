import { sleep } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import { messageOf } from "../../base/errors.ts";
import type { MetricSample } from "../../gen/belay/v1/job_pb.ts";

/** Measures at every interval what the job uses, and passes the sample on. */
export class MetricsLoop {
  private readonly interval: number;
  private readonly measure: () => Promise<MetricSample | undefined>;
  private readonly emit: (sample: MetricSample) => void;
  private readonly logger: Logger;

  /** @param interval milliseconds; 0: never */
  constructor(
    interval: number,
    measure: () => Promise<MetricSample | undefined>,
    emit: (sample: MetricSample) => void,
    logger: Logger,
  ) {
    this.interval = interval;
    this.measure = measure;
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

  /** Never throws: a sample that cannot be measured is left out. */
  private async now(): Promise<void> {
    try {
      const sample = await this.measure();
      if (sample !== undefined) this.emit(sample);
    } catch (error) {
      this.logger.debug("Cannot sample the job's usage", { error: messageOf(error) });
    }
  }
}
