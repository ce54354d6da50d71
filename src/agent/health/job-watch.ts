import type { Health, JobState, MetricSample, StallPolicy } from "../../gen/belay/v1/job_pb.ts";
import { AttemptHealth } from "./health.ts";
import { type StallHost, StallWatch } from "./stall-watch.ts";

/** What the watch of a job needs. */
export interface JobWatchHost extends Omit<StallHost, "stalled"> {
  /** Absent: a job that hangs is not noticed. */
  readonly stall: StallPolicy | undefined;
  /** Reports that the health has changed. */
  health(health: Health): void;
}

/** Watches a main command while it runs: whether it hangs, and whether it has what it needs. */
export class JobWatch {
  private readonly health: AttemptHealth;
  private readonly stall: StallWatch | undefined;

  /** Begins at once. That the job is well has been reported. */
  constructor(host: JobWatchHost) {
    const health = (this.health = new AttemptHealth((value) => host.health(value), host.clock));
    if (host.stall === undefined) return;
    this.stall = new StallWatch(host.stall, {
      job: host.job,
      clock: host.clock,
      stalled: (message) => health.stalled(message),
      notice: (message) => host.notice(message),
      withoutSecrets: (text) => host.withoutSecrets(text),
    });
  }

  sample(sample: MetricSample): void {
    this.health.sample(sample);
  }

  /** @param ms longest time for which the agent's event loop was blocked since the heartbeat before */
  loopDelay(ms: number): void {
    this.health.loopDelay(ms);
  }

  /** The job has reported metrics or progress. */
  progressed(): void {
    this.stall?.progressed();
  }

  stateChanged(state: JobState): void {
    this.stall?.stateChanged(state);
  }

  /** The main command has ended. @param goesOn whether steps follow */
  close(goesOn: boolean): void {
    this.stall?.close();
    this.health.close(goesOn);
  }
}
