import { formatDuration } from "../../../contract/durations.ts";
import type { CompiledSpec, Step } from "../compile-spec.ts";
import { Countdown } from "./countdown.ts";

/** What is done when a time has passed. */
export interface StepTimeoutHandlers {
  /** The timeout of the main command comes, after the warning's period. */
  readonly warn: () => void;
  readonly expired: (message: string) => void;
}

/**
 * The timeouts of the setup, all steps together, and of the main command, which is warned before. They do not count
 * while the job is paused.
 */
export class StepTimeouts {
  private readonly spec: CompiledSpec;
  private readonly handlers: StepTimeoutHandlers;
  private running: Countdown[] = [];

  constructor(spec: CompiledSpec, handlers: StepTimeoutHandlers) {
    this.spec = spec;
    this.handlers = handlers;
  }

  /** A step has started. */
  started(step: Step): void {
    const { timeout, setupTimeout, warning } = this.spec;
    if (step.main) {
      this.cancel();
      this.count(timeout, "Main command");
      if (timeout > 0 && warning !== undefined) {
        this.running.push(new Countdown(timeout - warning.period, this.handlers.warn));
      }
    } else if (this.running.length === 0) {
      this.count(setupTimeout, "Setup");
    }
  }

  pause(): void {
    for (const countdown of this.running) countdown.pause();
  }

  resume(): void {
    for (const countdown of this.running) countdown.resume();
  }

  cancel(): void {
    for (const countdown of this.running.splice(0)) countdown.cancel();
  }

  private count(ms: number, what: string): void {
    const message = `${what} ran longer than its timeout of ${formatDuration(ms)}`;
    this.running.push(new Countdown(ms, () => this.handlers.expired(message)));
  }
}
