import { EndReason, FailureClass } from "../gen/belay/v1/job_pb.ts";
import { DEFAULTS } from "./defaults.ts";
import type { EndOrder } from "./job/types.ts";
import type { AgentOptions, StopReason } from "./options.ts";
import type { RunningJob } from "./running-job.ts";

const MESSAGE = "The agent was asked to stop";

/** Ends the job when the agent must stop; before there is a job, closes the session. */
export class Stop {
  private readonly options: Pick<AgentOptions, "stop" | "stopNow" | "stopFlushTimeout">;
  private readonly closeSession: (why: string) => void;
  private running: RunningJob | undefined;

  constructor(
    options: Pick<AgentOptions, "stop" | "stopNow" | "stopFlushTimeout">,
    closeSession: (why: string) => void,
  ) {
    this.options = options;
    this.closeSession = closeSession;
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
  }

  private readonly onStop = (): void => {
    const { running, options } = this;
    if (running === undefined) {
      this.closeSession(MESSAGE);
      return;
    }
    running.gate.endStalemate(options.stopFlushTimeout ?? DEFAULTS.stopFlushTimeout);
    running.job.end({ ...this.order(), ...(options.stopNow?.aborted === true && { grace: 0 }) });
  };

  private readonly onStopNow = (): void => this.running?.job.end({ ...this.order(), grace: 0 });

  private order(): EndOrder {
    return { reason: EndReason.AGENT_STOPPED, failureClass: stopClass(this.options.stop?.reason), message: MESSAGE };
  }
}

/** The class of an end by a stop whose signal was aborted with this reason. */
function stopClass(reason: unknown): FailureClass {
  const { stopKind } = Object(reason) as Partial<StopReason>;
  return stopKind === "ordered" ? FailureClass.ORDERED : FailureClass.PREEMPTED;
}
