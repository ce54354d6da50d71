import { constants } from "node:os";
import { basename } from "node:path";
import { elide } from "../../base/text/elide.ts";
import { scriptStepName } from "../../contract/script-steps.ts";
import type { JobResult, JobSpec } from "../../gen/belay/v1/job_pb.ts";
import type { OwnEnd } from "../job/types.ts";

/** Longest text that a hint quotes, in characters. */
const MOST_QUOTED = 300;
/** Programs that report the end of another one by an exit code: 126, 127, and 128 plus the number of a signal. */
const SHELLS: ReadonlySet<string> = new Set(["sh", "bash", "dash", "ash", "zsh", "ksh", "busybox"]);
/** What a shell adds to the number of the signal that ended a process. */
const SHELL_SIGNAL = 128;

/** What is known about an attempt that did not succeed, before there is a card. */
export interface Known {
  readonly jobId: string;
  readonly spec: JobSpec;
  readonly result: JobResult;
  /** The end of what the deciding step printed, as text. Empty: it printed nothing. */
  readonly tail: string;
  /** What the job may use, in bytes. 0: no limit but the machine's. */
  readonly memoryLimit: number;
  /** Undefined: the deciding process did not end by itself. */
  readonly ownEnd: OwnEnd | undefined;
  /** Removes secrets. */
  withoutSecrets(text: string): string;
}

/** The evidence for a hint, in the form in which hints ask for it. */
export class Evidence {
  readonly known: Known;
  /**
   * Lines of the tail without colours; of a line that overwrites itself, what a terminal shows last. Empty ones at its end
   * are left out.
   */
  readonly lines: readonly string[];

  constructor(known: Known) {
    this.known = known;
    // eslint-disable-next-line no-control-regex
    const text = known.tail.replaceAll(/\u001b\[[\d;:]*[A-Za-z]/g, "").trimEnd();
    const lines = text === "" ? [] : text.split("\n");
    this.lines = lines.map((line) => line.split("\r").findLast((part) => part !== "") ?? "");
  }

  get result(): JobResult {
    return this.known.result;
  }

  /** Whether a setup step decided. */
  get isSetup(): boolean {
    return this.result.step > 0 && this.result.step <= this.known.spec.setup.length;
  }

  /** The name of the setup step that decided; empty: none did. */
  get stepName(): string {
    const step = this.known.spec.setup[this.result.step - 1];
    return step === undefined ? "" : scriptStepName(step);
  }

  /** The main command's program without its directory. */
  get program(): string {
    return basename(this.known.spec.command[0] ?? "");
  }

  /** The deciding step's exit code, if a shell reported it: the code may then be that of a program which the shell ran. */
  get shellCode(): number | undefined {
    return this.isSetup || SHELLS.has(this.program) ? this.result.exitCode : undefined;
  }

  /** The signal that ended the deciding process; empty: none did, or one that was sent through Belay. */
  get signal(): string {
    return this.known.ownEnd?.sentBy === undefined ? this.result.signal : "";
  }

  /** The signal for which a shell's exit code stands; empty: none. */
  get shellSignal(): string {
    const number = (this.shellCode ?? 0) - SHELL_SIGNAL;
    return Object.entries(constants.signals).find(([, candidate]) => candidate === number)?.[0] ?? "";
  }

  /** The last line of the tail that matches. */
  lineWith(pattern: RegExp): string | undefined {
    return this.lines.findLast((line) => pattern.test(line));
  }

  /** A text in quotation marks: on one line, without secrets, shortened. */
  quote(text: string): string {
    return `"${this.shorten(text)}"`;
  }

  shorten(text: string): string {
    // eslint-disable-next-line no-control-regex
    const line = this.known.withoutSecrets(text).replaceAll(/[\u0000-\u001f\u007f-\u009f]+/g, " ");
    return elide(line.trim(), MOST_QUOTED);
  }
}

/** A cause and what to do, in one sentence. Undefined: the evidence is not there. */
export type Hint = (evidence: Evidence) => string | undefined;
