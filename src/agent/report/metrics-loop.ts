import { sleep } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import { messageOf } from "../../base/errors.ts";
import type { MetricSample } from "../../gen/belay/v1/job_pb.ts";

/** See MetricsLoop. */
export interface MetricsLoopOptions {
  /** Milliseconds; 0: never. */
  readonly interval: number;
  readonly measure: () => Promise<MetricSample | undefined>;
  readonly emit: (sample: MetricSample) => void;
  readonly logger: Logger;
}

/** Measures at every interval what the job uses, and passes the sample on. */
export class MetricsLoop {
  private readonly options: MetricsLoopOptions;

  constructor(options: MetricsLoopOptions) {
    this.options = options;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { interval } = this.options;
    if (interval === 0) return;
    while (!signal.aborted) {
      await sleep(interval, signal);
      if (!signal.aborted) await this.now();
    }
  }

  /** Never throws: a sample that cannot be measured is left out. */
  private async now(): Promise<void> {
    try {
      const sample = await this.options.measure();
      if (sample !== undefined) this.options.emit(sample);
    } catch (error) {
      this.options.logger.debug("Cannot sample the job's usage", { error: messageOf(error) });
    }
  }
}
