import type { LogStream } from "../../../gen/belay/v1/job_pb.ts";
import { errnoOf } from "../../../base/errors.ts";
import { addEnvironment } from "./environment-secrets.ts";
import { RedactFile } from "./redact-file.ts";
import { Redactor } from "./redactor.ts";
import { Secrets, SHORTEST_SECRET } from "./secrets.ts";

/** More than there are streams, to make one number of stream and step. */
const STREAMS = 8;

/** Takes a job's output, as `JobHandlers.output` does. */
export type OutputSink = (stream: LogStream, step: number, data: Uint8Array, readUnixNano: bigint) => boolean;

/** What the redaction of one job needs. */
export interface RedactionOptions {
  /** What the job will have: the agent's environment with the spec's. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Names of variables whose values are redacted whatever they look like. */
  readonly names: readonly string[];
  /** Takes what is left of the output. */
  readonly sink: OutputSink;
  /** Told what cannot be redacted, in sentences that name variables and never values. */
  readonly warn: (message: string) => void;
  /** Where the directory with the file for further secrets is made. @default the system's */
  readonly directory?: string;
}

/**
 * Keeps secrets out of everything that one job prints, on all streams of all steps.
 *
 * Secrets are credentials of the job's environment and what the job writes to the file that `$BELAY_REDACT` names.
 */
export class Redaction {
  /** What the job's environment must have besides. */
  readonly environment: Readonly<Record<string, string>>;
  private readonly secrets = new Secrets();
  private readonly redactors = new Map<number, Redactor>();
  private readonly sink: OutputSink;
  private readonly warn: (message: string) => void;
  private readonly file: RedactFile | undefined;
  private warnedFile = false;

  constructor(options: RedactionOptions) {
    this.sink = options.sink;
    this.warn = options.warn;
    for (const warning of addEnvironment(this.secrets, options.environment, options.names)) this.warn(warning);
    this.file = this.makeFile(options.directory);
    this.environment = this.file === undefined ? {} : { BELAY_REDACT: this.file.path };
  }

  /** Takes output of the job. Bytes are valid during the call. @returns false when no more should come for now */
  output(stream: LogStream, step: number, data: Uint8Array, readUnixNano: bigint): boolean {
    this.file?.check();
    return this.redactor(stream, step).write(data, readUnixNano);
  }

  /**
   * Lets go what is held back because a secret may follow. To be called before the next step's output and before the
   * end of the log.
   */
  flush(): void {
    this.file?.check();
    for (const redactor of this.redactors.values()) redactor.flush();
  }

  /** The same for a text that is whole, such as a command line or a message. */
  text(value: string): string {
    this.file?.check();
    if (this.secrets.matcher === undefined) return value;
    const parts: Uint8Array[] = [];
    const redactor = new Redactor(
      () => this.secrets.matcher,
      (data) => parts.push(Uint8Array.from(data)) > 0,
    );
    redactor.write(Buffer.from(value), 0n);
    redactor.flush();
    return Buffer.concat(parts).toString();
  }

  /** Removes the file for further secrets. Nothing is passed on. */
  close(): void {
    this.file?.close();
  }

  private redactor(stream: LogStream, step: number): Redactor {
    const key = step * STREAMS + stream;
    let redactor = this.redactors.get(key);
    if (redactor === undefined) {
      redactor = new Redactor(
        () => this.secrets.matcher,
        (data, readUnixNano) => this.sink(stream, step, data, readUnixNano),
      );
      this.redactors.set(key, redactor);
    }
    return redactor;
  }

  private makeFile(directory: string | undefined): RedactFile | undefined {
    try {
      return new RedactFile((secret) => this.addLine(secret), this.warn, directory);
    } catch (error) {
      this.warn(`Cannot make the file for $BELAY_REDACT (${errnoOf(error)}); the job runs without it`);
      return undefined;
    }
  }

  private addLine(secret: Uint8Array): void {
    if (secret.length === 0) return;
    const added = this.secrets.add(secret);
    if (this.warnedFile || added === "added" || added === "known") return;
    this.warnedFile = true;
    this.warn(
      added === "short"
        ? `Cannot redact a line of $BELAY_REDACT: it is shorter than ${SHORTEST_SECRET} bytes`
        : "Cannot redact a line of $BELAY_REDACT: there are too many or too large secrets",
    );
  }
}
