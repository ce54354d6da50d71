import { counted } from "../../base/text/count.ts";
import { LogStream } from "../../gen/belay/v1/job_pb.ts";
import type { AgentOptions } from "../options.ts";
import type { Backpressure } from "./backpressure.ts";

/** Passes output on to the program that runs the agent, and waits while that program cannot accept more. */
export class PassThrough implements Backpressure {
  onRoom: () => void = () => undefined;
  private readonly options: Pick<AgentOptions, "onOutput" | "outputBehind">;
  private pending = 0;
  private waits = true;

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
    const goOn = (): void => {
      this.pending--;
      this.onRoom();
    };
    accepted.then(goOn, goOn);
    return !this.waits;
  }

  /** From now on the output does not wait for the program: the job is ending. */
  waitNoLonger(): void {
    this.waits = false;
    this.onRoom();
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
