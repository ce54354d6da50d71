import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { systemClock as clock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import {
  type Health,
  HealthSchema,
  HealthStatus,
  type JobSpec,
  type JobState,
  type MetricSample,
} from "../gen/belay/v1/job_pb.ts";
import type { JobWatch } from "./health/job-watch.ts";
import type { Job } from "./job/types.ts";
import type { Mask } from "./report/redact/mask.ts";
import type { Report } from "./report/report.ts";

/** A shorter blockage of the event loop changes no health, so that nothing needs to be loaded for it. Milliseconds. */
const WORTH_LOADING_MS = 1000;

/** What a watch needs. */
export interface WatchOptions {
  readonly spec: Pick<JobSpec, "stall" | "after">;
  /** Whether the tracker stores health. */
  readonly reportsHealth: boolean;
  readonly report: Report;
  readonly mask: Mask;
  readonly logger: Logger;
  /** The job, once it has been started. */
  readonly job: () => Job | undefined;
}

/**
 * Watches the job's main command, from its start to its end. Most jobs end before there is anything to watch: the code for
 * it is loaded with a stall policy, the first sample at an interval, or the first blockage of the event loop.
 */
export class Watch {
  private readonly options: WatchOptions;
  private running = false;
  private loading: Promise<JobWatch | undefined> | undefined;
  private loaded: JobWatch | undefined;

  constructor(options: WatchOptions) {
    this.options = options;
  }

  /** The main command has started. */
  begin(): void {
    this.running = true;
    this.report(create(HealthSchema, { status: HealthStatus.OK, since: timestampFromMs(clock.unixMs()) }));
    if (this.options.spec.stall !== undefined) void this.load();
  }

  /** A sample that was taken at an interval. */
  async sample(sample: MetricSample): Promise<void> {
    if (!this.running || !this.options.reportsHealth) return;
    (this.loaded ?? (await this.load()))?.sample(sample);
  }

  /** @param ms longest time for which the event loop was blocked since the heartbeat before */
  async loopDelay(ms: number): Promise<void> {
    if (!this.running || !this.options.reportsHealth) return;
    (this.loaded ?? (ms >= WORTH_LOADING_MS ? await this.load() : undefined))?.loopDelay(ms);
  }

  /** The job has reported metrics or progress. */
  progressed(): void {
    this.loaded?.progressed();
  }

  stateChanged(state: JobState): void {
    this.loaded?.stateChanged(state);
  }

  /** The main command has ended. */
  end(): void {
    this.running = false;
    this.loaded?.close(this.options.spec.after.length > 0);
    this.loaded = undefined;
  }

  /** @returns undefined when the main command has ended meanwhile, or the code cannot be loaded */
  private load(): Promise<JobWatch | undefined> {
    return (this.loading ??= this.make());
  }

  private async make(): Promise<JobWatch | undefined> {
    const { spec, report, mask, logger } = this.options;
    try {
      const { JobWatch } = await import("./health/job-watch.ts");
      const job = this.options.job();
      if (!this.running || job === undefined) return undefined;
      this.loaded = new JobWatch({
        job,
        clock,
        stall: spec.stall,
        health: (value) => this.report(value),
        notice: (message) => report.notice(0, message),
        withoutSecrets: (text) => mask.text(text),
      });
      return this.loaded;
    } catch (error) {
      const problem = `Cannot watch whether the job is well: ${messageOf(error)}`;
      logger.warn(problem);
      report.notice(0, problem);
      return undefined;
    }
  }

  private report(value: Health): void {
    if (this.options.reportsHealth) this.options.report.event({ case: "health", value });
  }
}
