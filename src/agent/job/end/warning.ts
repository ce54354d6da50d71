import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { systemClock } from "../../../base/clock.ts";
import { formatDuration } from "../../../contract/durations.ts";
import { type SignalRound, SignalRoundSchema } from "../../../gen/belay/v1/job_pb.ts";
import type { CompiledSpec } from "../compile-spec.ts";
import type { ProcessTree } from "../tree/tree.ts";

/** What a warning needs. */
export interface WarningOptions {
  readonly spec: Pick<CompiledSpec, "warning" | "stopSignal">;
  readonly tree: Pick<ProcessTree, "signal" | "thaw">;
  /** For how many milliseconds the job was paused in all, without a pause that has not ended. */
  readonly pauses: { readonly pausedMs: number };
  /** Called when the warning has been sent, with a sentence for the job's log. */
  readonly sent: (sentence: string) => void;
}

/** Warns a job that its end comes. Its law: a job is warned at most once. */
export class Warning {
  private readonly options: WarningOptions;
  private round: SignalRound | undefined;
  private start: number | undefined;

  constructor(options: WarningOptions) {
    this.options = options;
  }

  /** The round of the warning, if it reached a process. */
  get rounds(): readonly SignalRound[] {
    return this.round === undefined ? [] : [this.round];
  }

  /** Milliseconds that a job which is asked to end now may have until its stop signal, pauses not counted. */
  get left(): number {
    const period = this.options.spec.warning?.period ?? 0;
    return this.start === undefined ? period : Math.max(0, period - (this.runningTime() - this.start));
  }

  /** Warns the job of its time limit. It is running, so nothing must be thawed. */
  beforeTimeout(): void {
    this.send(`the time limit is reached in ${formatDuration(this.left)}`);
  }

  /**
   * Warns the job of an end that was ordered, and thaws it: a paused process handles no signal.
   *
   * @param stop milliseconds to the stop signal
   */
  beforeStop(stop: number): void {
    this.send(`${this.options.spec.stopSignal} follows in ${formatDuration(stop)}`, "wake");
    this.options.tree.thaw();
  }

  private send(what: string, wake?: "wake"): void {
    const { spec, tree, sent } = this.options;
    if (spec.warning === undefined || this.start !== undefined) return;
    const { signal } = spec.warning;
    this.start = this.runningTime();
    const time = systemClock.unixMs();
    const processes = tree.signal(signal, wake);
    if (processes === 0) return;
    this.round = create(SignalRoundSchema, { signal, sendTime: timestampFromMs(time), processes });
    sent(`Warned with ${signal}: ${what}`);
  }

  private runningTime(): number {
    return performance.now() - this.options.pauses.pausedMs;
  }
}
