import { formatDuration } from "../../../contract/durations.ts";
import type { CompiledSpec, Step } from "../compile-spec.ts";
import { Countdown } from "./countdown.ts";

/** The timeouts of the setup, all steps together, and of the main command. They do not count while the job is paused. */
export class StepTimeouts {
  private readonly spec: CompiledSpec;
  private readonly expired: (message: string) => void;
  private running: Countdown | undefined;

  constructor(spec: CompiledSpec, expired: (message: string) => void) {
    this.spec = spec;
    this.expired = expired;
  }

  /** A step has started. */
  started(step: Step): void {
    if (step.main) {
      this.cancel();
      this.count(this.spec.timeout, "Main command");
    } else if (this.running === undefined) {
      this.count(this.spec.setupTimeout, "Setup");
    }
  }

  pause(): void {
    this.running?.pause();
  }

  resume(): void {
    this.running?.resume();
  }

  cancel(): void {
    this.running?.cancel();
    this.running = undefined;
  }

  private count(ms: number, what: string): void {
    this.running = new Countdown(ms, () =>
      this.expired(`${what} ran longer than its timeout of ${formatDuration(ms)}`),
    );
  }
}
