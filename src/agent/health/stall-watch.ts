import { durationMs } from "@bufbuild/protobuf/wkt";
import type { Clock, Timer } from "../../base/clock.ts";
import { formatDuration } from "../../contract/durations.ts";
import { EndReason, JobState, StallAction, type StallPolicy, StallSign } from "../../gen/belay/v1/job_pb.ts";
import type { Job } from "../job/types.ts";
import { processList } from "./process-list.ts";

/** Longest and shortest time between two measurements. Milliseconds. */
const LONGEST_INTERVAL_MS = 5000;
const SHORTEST_INTERVAL_MS = 50;
/** Share of one processor, over one measurement, from which a job counts as alive. */
const LEAST_CPU = 0.01;
/** Measuring processor time may take this share of the time, unless that makes the pause longer than the longest. */
const MOST_SHARE = 1 / 200;

/** What each sign is called in a sentence. */
const NAMES: Readonly<Record<number, string>> = {
  [StallSign.OUTPUT]: "output",
  [StallSign.PROGRESS]: "progress",
  [StallSign.CPU]: "processor time",
};

/** What a watch needs of the job and its report. */
export interface StallHost {
  readonly job: Pick<Job, "state" | "vitals" | "end">;
  readonly clock: Clock;
  /** The health has changed. @param message why; undefined: there is a sign of life again */
  stalled(message: string | undefined): void;
  /** Adds an entry to the job's log. */
  notice(message: string): void;
  /** The text without secrets. */
  withoutSecrets(text: string): string;
}

/**
 * Notices when the main command gives no sign of life for too long.
 *
 * It adds no code to the path of the output: it reads existing counters, at intervals of a quarter of the policy's
 * time, 5 s at most. Time in which the job is paused does not count, nor does time in which the agent itself was
 * stopped.
 */
export class StallWatch {
  private readonly policy: StallPolicy;
  private readonly signs: ReadonlySet<StallSign>;
  private readonly after: number;
  private readonly interval: number;
  private readonly host: StallHost;
  private timer: Timer | undefined;
  /** Milliseconds from the check before to the next. */
  private pause = 0;
  /** Milliseconds without a sign of life. */
  private silentMs = 0;
  private checked: number;
  private progressAt = Number.NEGATIVE_INFINITY;
  private cpu: { readonly seconds: number; readonly at: number } | undefined;
  /** Milliseconds that the last measurement of processor time took. */
  private cpuCost = 0;
  private paused: boolean;
  private stalled = false;
  private latestSign: StallSign = StallSign.UNSPECIFIED;

  /** Begins at once: the main command has started. */
  constructor(policy: StallPolicy, host: StallHost) {
    const { signs, after } = policy;
    this.policy = policy;
    this.signs = new Set(signs.length === 0 ? [StallSign.OUTPUT, StallSign.PROGRESS] : signs);
    this.after = after === undefined ? 0 : durationMs(after);
    this.interval = Math.min(LONGEST_INTERVAL_MS, Math.max(SHORTEST_INTERVAL_MS, this.after / 4));
    this.host = host;
    this.checked = host.clock.monotonic();
    this.paused = host.job.state === JobState.PAUSED;
    this.measureCpu();
    this.checkLater();
  }

  /** The job has reported metrics or progress. */
  progressed(): void {
    this.progressAt = this.host.clock.monotonic();
  }

  /** The state of the job has changed. */
  stateChanged(state: JobState): void {
    if (state === JobState.CANCELING) {
      this.close();
      return;
    }
    const paused = state === JobState.PAUSED;
    if (paused === this.paused || this.timer === undefined) return;
    this.update();
    this.paused = paused;
    // What was used before the pause would be spread over its time, too.
    this.measureCpu();
  }

  /** Ends it: the main command has ended, or the job is being ended. */
  close(): void {
    this.timer?.cancel();
    this.timer = undefined;
  }

  private checkLater(): void {
    const left = this.stalled ? this.interval : Math.max(1, this.after - this.silentMs);
    const rest = Math.min(LONGEST_INTERVAL_MS, this.cpuCost / MOST_SHARE);
    this.pause = Math.max(rest, Math.min(this.interval, left));
    this.timer = this.host.clock.after(this.pause, () => this.check());
  }

  private check(): void {
    this.update();
    if (this.stalled !== this.silentMs >= this.after) {
      this.stalled = !this.stalled;
      if (this.stalled) this.reportStalled();
      else this.reportAlive();
    }
    if (this.timer !== undefined) this.checkLater();
  }

  /** Brings `silentMs` and `latestSign` up to date. */
  private update(): void {
    // Read before the time: what was printed since the check before is then never older than that check.
    const { outputSilence } = this.host.job.vitals();
    const now = this.host.clock.monotonic();
    const passed = now - this.checked;
    this.checked = now;
    // While the agent was stopped, the job may have been stopped as well, and its output was not read.
    if (!this.paused) this.silentMs += Math.min(passed, 2 * Math.max(this.pause, this.interval));
    const found = (sign: StallSign, ago: number): void => {
      if (!this.signs.has(sign) || ago > passed || ago >= this.silentMs) return;
      this.silentMs = ago;
      this.latestSign = sign;
    };
    found(StallSign.OUTPUT, outputSilence);
    found(StallSign.PROGRESS, now - this.progressAt);
    if (this.usedCpu(now)) found(StallSign.CPU, 0);
  }

  /** Measures only over about an interval: in a short one, a single tick of the kernel's clock would be a lot. */
  private usedCpu(now: number): boolean {
    if (this.cpu === undefined || now - this.cpu.at < this.interval / 2) return false;
    const { seconds, at } = this.cpu;
    this.measureCpu();
    return this.cpu.seconds - seconds >= (LEAST_CPU * (now - at)) / 1000;
  }

  private measureCpu(): void {
    if (!this.signs.has(StallSign.CPU)) return;
    const start = this.host.clock.monotonic();
    this.cpu = { seconds: this.host.job.vitals().cpuSeconds(), at: start };
    this.cpuCost = this.host.clock.monotonic() - start;
  }

  private reportStalled(): void {
    const { host, policy, after } = this;
    const message = `No ${alternatives([...this.signs].map((sign) => NAMES[sign] ?? ""))} for ${formatDuration(after)}`;
    const list = processList(host.job.vitals().members(), (text) => host.withoutSecrets(text));
    host.notice(`The job has stalled. ${message}. Its processes:\n${list}`);
    host.stalled(message);
    if (policy.action !== StallAction.END) return;
    this.close();
    host.job.end({ reason: EndReason.STALLED, message: `Main command gave no sign of life: ${lowerFirst(message)}` });
  }

  private reportAlive(): void {
    this.host.notice(`The job has given a sign of life again: ${NAMES[this.latestSign] ?? ""}`);
    this.host.stalled(undefined);
  }
}

/** `output, progress or processor time`. */
function alternatives(words: readonly string[]): string {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
