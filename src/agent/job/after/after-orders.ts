import { systemClock, type Timer } from "../../../base/clock.ts";
import { formatDuration } from "../../../contract/durations.ts";
import { EndReason } from "../../../gen/belay/v1/job_pb.ts";
import type { EndOrder } from "../types.ts";

/** Of a stop budget, the last part: the step that still runs gets its stop signal before, and SIGKILL after it. */
const LAST_PART = 1 / 10;

/** The step after the end that runs. */
export interface RunningAfterStep {
  /**
   * Ends the step, or ends it sooner.
   *
   * @param grace milliseconds to SIGKILL
   * @param why a clause for users
   */
  end(grace: number, why: string, timedOut: boolean): void;
  pause(): void;
  resume(): void;
}

/** What orders depend on. Milliseconds. */
export interface AfterOrdersOptions {
  /** The grace period of the job. */
  readonly grace: number;
  /** The time that a stop of the agent leaves to all steps together. 0: none of them runs. */
  readonly stopBudget: number;
}

/**
 * What orders and pauses mean for the steps after the end.
 *
 * Its law: the first reason why no further step starts is kept.
 */
export class AfterOrders {
  private readonly options: AfterOrdersOptions;
  private phase: "before" | "now" | "over" = "before";
  private stopped = false;
  private first: { readonly why: string; grace: number; readonly timedOut: boolean } | undefined;
  private current: RunningAfterStep | undefined;
  private budget: Timer | undefined;
  private paused: PromiseWithResolvers<void> | undefined;

  constructor(options: AfterOrdersOptions) {
    this.options = options;
  }

  /** Whether steps after the end run now. */
  get running(): boolean {
    return this.phase === "now";
  }

  /** Why no further step starts, as a sentence for users. Undefined: nothing is against it. */
  get notRunReason(): string | undefined {
    return this.first?.why;
  }

  /** Whether a step may start at this moment. */
  get mayStart(): boolean {
    return this.first === undefined && this.paused === undefined;
  }

  /**
   * The command is over, and nothing of it is left.
   *
   * @param order the order that ended the job, if it was one
   */
  begin(order: EndOrder | undefined): void {
    this.phase = "now";
    if (order?.reason !== EndReason.CANCELED && order !== undefined) this.apply(order);
    if (this.stopped) this.beginBudget();
  }

  /** The last step is over. */
  finish(): void {
    this.phase = "over";
    this.budget?.cancel();
  }

  /**
   * An order to end the job, which comes too late to be the cause of its end.
   *
   * @param endedByItself whether the job has ended without an order. If not, a cancel before these steps only hurries
   * the end of the command, and they still run
   * @returns whether it ends steps that run
   */
  order(order: EndOrder, endedByItself: boolean): boolean {
    if (this.phase === "over") return false;
    if (order.reason === EndReason.CANCELED && this.phase === "before" && !endedByItself) return false;
    const takesEffect = this.apply(order);
    if (this.running && this.stopped) this.beginBudget();
    if (takesEffect) this.resume();
    return takesEffect && this.running;
  }

  pause(): void {
    if (!this.running) return;
    this.paused ??= Promise.withResolvers();
    this.current?.pause();
  }

  resume(): void {
    this.paused?.resolve();
    this.paused = undefined;
    this.current?.resume();
  }

  /** Resolves at once when the job is not paused. */
  async whenResumed(): Promise<void> {
    await this.paused?.promise;
  }

  /** Sets the step that orders reach from now on. Undefined: none runs. */
  runs(step: RunningAfterStep | undefined): void {
    this.current = step;
    // An order came while the process was being started.
    if (this.first !== undefined) step?.end(this.first.grace, this.first.why, this.first.timedOut);
  }

  /** @returns whether it concerns these steps */
  private apply({ reason, grace }: EndOrder): boolean {
    switch (reason) {
      case EndReason.CANCELED:
        this.noMore("The job was canceled while steps after its end ran", grace ?? this.options.grace);
        return true;
      case EndReason.SUPERSEDED:
        this.noMore("Another attempt has the job", 0);
        return true;
      case EndReason.AGENT_STOPPED:
        this.stopped = true;
        if (grace === 0) this.noMore("The agent was asked to stop at once", 0);
        return true;
      default:
        return false;
    }
  }

  private noMore(why: string, grace: number, timedOut = false): void {
    this.first ??= { why, grace, timedOut };
    this.first.grace = Math.min(this.first.grace, grace);
    this.current?.end(grace, why, timedOut);
  }

  private beginBudget(): void {
    if (this.budget !== undefined || this.first !== undefined) return;
    const { stopBudget, grace } = this.options;
    if (stopBudget === 0) {
      this.noMore("The agent was asked to stop, and its stop budget is 0", 0);
      return;
    }
    const last = Math.min(grace, stopBudget * LAST_PART);
    const why = `The agent was asked to stop, and its stop budget of ${formatDuration(stopBudget)} is used up`;
    this.budget = systemClock.after(stopBudget - last, () => this.noMore(why, last, true));
  }
}
