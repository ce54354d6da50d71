import { systemClock, type Timer } from "../base/clock.ts";
import { EndReason, FailureClass } from "../gen/belay/v1/job_pb.ts";
import { DEFAULTS } from "./defaults.ts";
import type { EndOrder } from "./job/types.ts";
import type { AgentOptions, StopReason } from "./options.ts";
import type { RunningJob } from "./running-job.ts";

const MESSAGE = "The agent was asked to stop";

type StopOptions = Pick<AgentOptions, "stop" | "stopNow" | "stopFlushTimeout" | "onStop">;

/** What a stop does before there is a job. */
export interface StopHost {
  /** Ends the session: nothing is run. */
  closeSession(why: string): void;
  /** Has the tracker admit the session as soon as it can. */
  dialNow(): void;
  /** Whether the job waits for this agent, which ran the attempt before: an ordered stop must end it. */
  readonly isAwaited: boolean;
}

/**
 * Ends the job when the agent must stop. Before there is a job, it closes the session; but a job that waits for this
 * agent's next attempt is ended by an ordered stop: the agent takes that attempt, and starts nothing.
 */
export class Stop {
  private readonly options: StopOptions;
  private readonly host: StopHost;
  private running: RunningJob | undefined;
  private giveUpTimer: Timer | undefined;

  constructor(options: StopOptions, host: StopHost) {
    this.options = options;
    this.host = host;
  }

  /** Whether the session is there only to end the job. */
  get endsAwaitedJob(): boolean {
    return this.host.isAwaited && mustEndJob(this.options);
  }

  listen(): void {
    const { stop, stopNow } = this.options;
    stop?.addEventListener("abort", this.onStop, { once: true });
    stopNow?.addEventListener("abort", this.onStopNow, { once: true });
    if (stop?.aborted === true) this.onStop();
  }

  /** The job has been started; it ends at once if the agent must stop already. */
  started(running: RunningJob): void {
    this.running = running;
    if (this.options.stop?.aborted === true) this.onStop();
  }

  close(): void {
    const { stop, stopNow } = this.options;
    stop?.removeEventListener("abort", this.onStop);
    stopNow?.removeEventListener("abort", this.onStopNow);
    this.giveUpTimer?.cancel();
  }

  private readonly onStop = (): void => {
    const { running, options, host } = this;
    const patience = options.stopFlushTimeout ?? DEFAULTS.stopFlushTimeout;
    if (running === undefined) {
      if (!this.endsAwaitedJob) return host.closeSession(MESSAGE);
      this.giveUpTimer = systemClock.after(patience, () => host.closeSession(MESSAGE));
      host.dialNow();
      return;
    }
    this.giveUpTimer?.cancel();
    running.gate.endStalemate(patience);
    running.job.end({ ...this.order(), ...(options.stopNow?.aborted === true && { grace: 0 }) });
  };

  private readonly onStopNow = (): void => {
    if (this.running === undefined) this.host.closeSession(MESSAGE);
    else this.running.job.end({ ...this.order(), grace: 0 });
  };

  private order(): EndOrder {
    return { reason: EndReason.AGENT_STOPPED, failureClass: stopClass(this.options), message: MESSAGE };
  }
}

/** The class of an end by the stop that has come. */
export function stopClass({ stop, onStop }: Pick<AgentOptions, "stop" | "onStop">): FailureClass {
  const { stopKind } = Object(stop?.reason) as Partial<StopReason>;
  return stopKind === "ordered" || onStop === "end" ? FailureClass.ORDERED : FailureClass.PREEMPTED;
}

/** Whether a stop has come that must end the job, whatever its retry policy. */
export function mustEndJob(options: Pick<AgentOptions, "stop" | "onStop">): boolean {
  return options.stop?.aborted === true && stopClass(options) === FailureClass.ORDERED;
}
