import { monitorEventLoopDelay } from "node:perf_hooks";
import { healthOf } from "../jobs/health.ts";
import type { LiveJob } from "../jobs/live-job.ts";
import { VERSION } from "../../base/version.ts";
import { addProcessGauges } from "../../base/process/process-gauges.ts";
import type { MetricsRegistry } from "../../base/prometheus.ts";
import { JobState } from "../../gen/belay/v1/job_pb.ts";
import { healthName, stateName } from "../../contract/names.ts";
import { isEnded } from "../../contract/states.ts";

/** Time between two measurements of the event loop by Node. Milliseconds. */
const RESOLUTION_MS = 20;

/** The delay of the event loop. */
export class LoopDelay {
  private readonly histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  private since: number = performance.now();
  private before = 0;

  constructor() {
    this.histogram.enable();
  }

  /** Longest delay in about the last 10 to 20 seconds, in milliseconds. */
  get worst(): number {
    const now = this.histogram.max / 1e6;
    if (performance.now() - this.since > 10_000) {
      this.since = performance.now();
      this.before = now;
      this.histogram.reset();
      return now;
    }
    return Math.max(now, this.before);
  }

  close(): void {
    this.histogram.disable();
  }
}

/** Adds the metrics that are read only when the page is requested. */
export function addGauges(
  metrics: MetricsRegistry,
  facts: { jobs: () => Iterable<LiveJob>; loop: LoopDelay; connections: () => number },
): void {
  metrics.gauge("belay_build_info", "The tracker's version.", () => [[{ version: VERSION }, 1]]);
  metrics.gauge("belay_sessions", "Agents that are connected.", () => {
    let connected = 0;
    for (const live of facts.jobs()) if (live.stream !== undefined) connected++;
    return connected;
  });
  metrics.gauge("belay_jobs", "Jobs that have not ended, by state.", () =>
    countBy("state", facts.jobs(), ({ job }) => (isEnded(job.state) ? undefined : stateName(job.state))),
  );
  metrics.gauge(
    "belay_jobs_between_attempts",
    "Jobs that are PENDING after an attempt: they wait for an agent that takes the next one.",
    () => {
      let waiting = 0;
      for (const { job, attempt } of facts.jobs()) {
        if (job.state === JobState.PENDING && attempt !== undefined) waiting++;
      }
      return waiting;
    },
  );
  metrics.gauge("belay_attempt_health", "Attempts that have not ended and whose health is known, by health.", () =>
    countBy("status", facts.jobs(), (live) => {
      const health = healthOf(live);
      return health === undefined ? undefined : healthName(health.status);
    }),
  );
  metrics.gauge("belay_connections", "Connections that are open.", facts.connections);
  metrics.gauge(
    "belay_loop_delay_seconds",
    "Longest delay of the event loop in the last 10 to 20 s.",
    () => facts.loop.worst / 1000,
  );
  addProcessGauges(metrics);
}

/** Counts jobs by a name, as values of one label. Jobs without a name are not counted. */
function countBy(
  label: string,
  jobs: Iterable<LiveJob>,
  nameOf: (live: LiveJob) => string | undefined,
): (readonly [Readonly<Record<string, string>>, number])[] {
  const counts = new Map<string, number>();
  for (const live of jobs) {
    const name = nameOf(live)?.toLowerCase();
    if (name !== undefined) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts].map(([name, count]) => [{ [label]: name }, count] as const);
}
