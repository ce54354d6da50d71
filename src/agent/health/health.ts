import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Clock, Timer } from "../../base/clock.ts";
import { formatDuration } from "../../contract/durations.ts";
import { formatSize } from "../../contract/sizes.ts";
import { type Health, HealthSchema, HealthStatus, type MetricSample } from "../../gen/belay/v1/job_pb.ts";

/** Changes that are reported at once when they follow each other closely. */
const BURST = 4;
/** After those, one change in this time is reported. Milliseconds. */
const REPORT_EVERY_MS = 5000;

/** Share of the memory limit from which the job is near it, and below which it no longer is. */
const NEAR_LIMIT = { from: 0.95, until: 0.9 };
/** Pressure from which the job is starved, and below which it no longer is. */
const STARVED = { from: 0.5, until: 0.4 };
/** The agent is slow if its event loop was blocked for this long between two heartbeats. Milliseconds. */
const SLOW_MS = 1000;

/** What can be wrong, the most severe first. */
const SEVERITY = [
  HealthStatus.STALLED,
  HealthStatus.NEAR_MEMORY_LIMIT,
  HealthStatus.STARVED,
  HealthStatus.AGENT_SLOW,
] as const;
type Problem = (typeof SEVERITY)[number];

/** What the job's processes wait for under each kind of pressure. */
const WAITED_FOR = { cpu: "a processor", memory: "memory", io: "storage" } as const;

/**
 * Whether an attempt is well, and the report of each change of that.
 *
 * Its law: after a change, the latest status is reported within 5 s; at most 4 changes are reported at once, and one in
 * 5 s on average, so that a job that flaps does not fill the lane of events.
 */
export class AttemptHealth {
  private readonly emit: (health: Health) => void;
  private readonly clock: Clock;
  private readonly problems = new Map<Problem, string>();
  private reported: HealthStatus = HealthStatus.OK;
  private current: HealthStatus = HealthStatus.OK;
  private since: number;
  /** Reports that may be made at once; one more after each `REPORT_EVERY_MS`. */
  private allowance = BURST;
  private counted: number;
  private timer: Timer | undefined;
  private closed = false;

  /**
   * It begins as OK, which has been reported.
   *
   * @param emit reports a change
   */
  constructor(emit: (health: Health) => void, clock: Clock) {
    this.emit = emit;
    this.clock = clock;
    this.since = clock.unixMs();
    this.counted = clock.monotonic();
  }

  /** The job gives no sign of life; undefined: it does. @param message one sentence for users */
  stalled(message: string | undefined): void {
    this.set(HealthStatus.STALLED, message);
  }

  sample(sample: MetricSample): void {
    this.set(HealthStatus.NEAR_MEMORY_LIMIT, this.nearLimit(sample));
    this.set(HealthStatus.STARVED, this.starved(sample));
  }

  /** @param ms longest time for which the event loop was blocked since the heartbeat before */
  loopDelay(ms: number): void {
    const blocked = `The agent's event loop was blocked for ${formatDuration(ms)}`;
    this.set(HealthStatus.AGENT_SLOW, ms >= SLOW_MS ? blocked : undefined);
  }

  /**
   * Nothing is reported any more.
   *
   * @param goesOn whether the attempt goes on: then what was wrong with the main command ends with it
   */
  close(goesOn: boolean): void {
    this.timer?.cancel();
    this.timer = undefined;
    if (goesOn && this.reported !== HealthStatus.OK) {
      this.emit(create(HealthSchema, { status: HealthStatus.OK, since: timestampFromMs(this.clock.unixMs()) }));
    }
    this.closed = true;
  }

  private nearLimit({ memoryBytes, memoryLimitBytes }: MetricSample): string | undefined {
    if (memoryLimitBytes === 0n) return undefined;
    const share = Number(memoryBytes) / Number(memoryLimitBytes);
    if (share < this.threshold(HealthStatus.NEAR_MEMORY_LIMIT, NEAR_LIMIT)) return undefined;
    const limit = formatSize(memoryLimitBytes);
    return `The job uses ${formatSize(memoryBytes)} of the ${limit} of memory that it may use (${percent(share)})`;
  }

  private starved({ cpuPressure = 0, memoryPressure = 0, ioPressure = 0 }: MetricSample): string | undefined {
    const worst = Math.max(cpuPressure, memoryPressure, ioPressure);
    if (worst < this.threshold(HealthStatus.STARVED, STARVED)) return undefined;
    const what = worst === memoryPressure ? "memory" : worst === ioPressure ? "io" : "cpu";
    return `Processes of the job waited for ${WAITED_FOR[what]} during ${percent(worst)} of the last 10 s`;
  }

  /** A problem that is there ends at a lower value than it begins at. */
  private threshold(problem: Problem, { from, until }: { readonly from: number; readonly until: number }): number {
    return this.problems.has(problem) ? until : from;
  }

  private set(problem: Problem, message: string | undefined): void {
    if (message === undefined) this.problems.delete(problem);
    else if (!this.problems.has(problem)) this.problems.set(problem, message);
    const worst = SEVERITY.find((status) => this.problems.has(status)) ?? HealthStatus.OK;
    if (worst === this.current) return;
    this.current = worst;
    this.since = this.clock.unixMs();
    this.report();
  }

  private report(): void {
    if (this.closed || this.timer !== undefined || this.current === this.reported) return;
    const now = this.clock.monotonic();
    const fresh = Math.floor((now - this.counted) / REPORT_EVERY_MS);
    this.counted += fresh * REPORT_EVERY_MS;
    this.allowance = Math.min(BURST, this.allowance + fresh);
    if (this.allowance < 1) {
      this.timer = this.clock.after(this.counted + REPORT_EVERY_MS - now, () => {
        this.timer = undefined;
        this.report();
      });
      return;
    }
    this.allowance--;
    this.reported = this.current;
    this.emit(
      create(HealthSchema, {
        status: this.current,
        since: timestampFromMs(this.since),
        message: SEVERITY.map((status) => this.problems.get(status)).find((message) => message !== undefined) ?? "",
      }),
    );
  }
}

function percent(share: number): string {
  return `${Math.floor(share * 100)} %`;
}
