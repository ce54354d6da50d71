import { systemClock as clock, type Timer } from "../base/clock.ts";
import { formatDuration } from "../contract/durations.ts";
import { EndReason } from "../gen/belay/v1/job_pb.ts";
import { DEFAULTS } from "./defaults.ts";
import type { AgentOptions } from "./options.ts";
import type { Spool } from "./report/spool.ts";
import type { RunningJob } from "./running-job.ts";

/** What `Disconnect` needs. */
export interface DisconnectOptions {
  readonly options: Pick<AgentOptions, "onDisconnect" | "onProgress" | "flushTimeout">;
  readonly spool: Pick<Spool, "memoryBytes" | "diskBytes">;
  /** Undefined: no job has started. */
  readonly running: () => RunningJob | undefined;
  /** Why there has been no tracker for some milliseconds, as a sentence. */
  readonly whyAbsent: (ms: number) => string;
}

/** Reports that streams open and are lost, and ends the job after too long without one if the options say so. */
export class Disconnect {
  private readonly options: DisconnectOptions;
  private timer: Timer | undefined;

  constructor(options: DisconnectOptions) {
    this.options = options;
  }

  /** A stream is open. */
  connected(address: string, first: boolean): void {
    this.close();
    this.options.options.onProgress?.(`${first ? "connected" : "connected again"} to ${address}`);
  }

  /** A stream was lost; the next is dialed after some milliseconds. */
  lost(why: string, retryIn: number): void {
    const { spool, running, options } = this.options;
    const { onDisconnect, onProgress } = options;
    const goesOn = running() === undefined ? "" : `. Job goes on; ${spool.memoryBytes + spool.diskBytes} bytes spooled`;
    onProgress?.(`not connected: ${why}${goesOn}. Next attempt in ${formatDuration(retryIn)}`);
    if (onDisconnect?.kind !== "cancel-after" || running() === undefined) return;
    this.timer ??= clock.after(onDisconnect.ms, () => this.endJob(onDisconnect.ms));
  }

  close(): void {
    this.timer?.cancel();
    this.timer = undefined;
  }

  private endJob(ms: number): void {
    const { options, running, whyAbsent } = this.options;
    const { job, gate } = running() ?? {};
    job?.end({ reason: EndReason.DISCONNECTED, message: whyAbsent(ms) });
    gate?.endStalemate(options.flushTimeout ?? DEFAULTS.flushTimeout);
  }
}
