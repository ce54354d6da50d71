import { systemClock, type Timer } from "../../../base/clock.ts";
import { counted } from "../../../base/text/count.ts";
import { LogStream } from "../../../gen/belay/v1/job_pb.ts";
import type { AgentOptions } from "../../options.ts";
import type { Backpressure } from "./backpressure.ts";

/** Passes output on to the program that runs the agent, and waits while that program cannot accept more. */
export class PassThrough implements Backpressure {
  onRoom: () => void = () => undefined;
  private readonly options: Pick<AgentOptions, "onOutput" | "outputBehind">;
  private pending = 0;
  private waits = true;
  /** Milliseconds for which a program that accepts nothing is waited for. */
  private patience = Number.POSITIVE_INFINITY;
  private patienceTimer: Timer | undefined;

  constructor(options: Pick<AgentOptions, "onOutput" | "outputBehind">) {
    this.options = options;
  }

  get full(): boolean {
    return this.waits && this.pending > 0;
  }

  /** @returns false when the program wants no more for now: the job waits for it, as in a shell's pipe */
  pass(stream: LogStream, data: Uint8Array): boolean {
    const accepted = this.options.onOutput?.(stream === LogStream.STDERR ? "stderr" : "stdout", data);
    if (accepted === undefined) return true;
    this.pending++;
    if (this.patienceTimer === undefined) this.watch();
    const onAccepted = (): void => {
      this.pending--;
      this.watch();
      this.onRoom();
    };
    accepted.then(onAccepted, onAccepted);
    return !this.waits;
  }

  /** From now on the output does not wait for the program: the job is ending. */
  waitNoLonger(): void {
    this.waits = false;
    this.watch();
    this.onRoom();
  }

  /**
   * Output follows the end after all, of further steps. From now on it waits for the program again, until that has accepted
   * nothing for so many milliseconds. Only the first call has an effect.
   */
  waitAtMost(patience: number): void {
    if (this.patience !== Number.POSITIVE_INFINITY) return;
    this.patience = patience;
    this.waits = true;
    this.watch();
  }

  /** Measures from now on how long the program accepts nothing. */
  private watch(): void {
    this.patienceTimer?.cancel();
    const counts = this.full && this.patience !== Number.POSITIVE_INFINITY;
    this.patienceTimer = counts ? systemClock.after(this.patience, () => this.waitNoLonger()) : undefined;
  }

  /** What the program has accepted and not passed on, as sentences for the log. */
  get behind(): string[] {
    const { stdout = 0, stderr = 0 } = this.options.outputBehind?.() ?? {};
    return [...behindText(stdout, "output"), ...behindText(stderr, "error")];
  }
}

function behindText(bytes: number, name: string): string[] {
  if (bytes === 0) return [];
  const what = `When the job had ended, ${counted(bytes, "byte")} of its standard ${name} had not been passed through`;
  return [`${what}: the reader is slow or has stopped reading. This log has them`];
}
