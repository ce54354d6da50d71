import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { type Environment, type SecretChoice, SHORTEST_SECRET } from "../../../base/secrets/environment-secrets.ts";
import type { LogFields, Logger } from "../../../base/logger.ts";
import { mapText } from "../../../base/secrets/map-text.ts";
import { addEnvironment } from "./add-environment.ts";
import type { Matcher } from "./matcher.ts";
import { RedactFile } from "./redact-file.ts";
import { Redactor } from "./redactor.ts";
import { Secrets } from "./secrets.ts";
import { latin, trim } from "./text.ts";

/** Called with what cannot be redacted, in sentences that name variables and never values. */
export type Warn = (message: string) => void;

/**
 * The secrets of an agent, and the one place that removes them from everything it reports: from output through
 * `Redaction`, from records through `Report`, from its own log and remarks through `logger` and `text`.
 *
 * Secrets are credentials of the job's environment and what the job writes to the file that `$BELAY_REDACT` names.
 */
export class Mask {
  private secrets = new Secrets();
  private warnings: readonly string[] = [];
  private file: RedactFile | undefined;
  private warnedFile = false;

  /** Sets the environment whose secrets are removed. Must be called before the job has printed anything. */
  setEnvironment(environment: Environment, choice: SecretChoice): void {
    this.secrets = new Secrets();
    this.warnings = addEnvironment(this.secrets, environment, choice);
  }

  /**
   * Reports what cannot be redacted, and sets where further secrets will come from.
   *
   * @param path see `RedactFile`
   */
  begin(warn: Warn, path: string): void {
    for (const warning of this.warnings) warn(warning);
    this.file = new RedactFile(path, {
      line: (secret) => this.add(secret, warn),
      unfinished: (text) => this.addUnfinished(text),
      warn,
    });
  }

  /** The first step has started, or a later one. */
  stepStarted(): void {
    this.file?.open();
  }

  /** A step is over: what it wrote last, without a newline, ends there. */
  stepOver(): void {
    this.file?.settle();
  }

  /** Variables that the job's environment must have for that. */
  get environment(): Readonly<Record<string, string>> {
    return this.file === undefined ? {} : { BELAY_REDACT: this.file.path };
  }

  /** Finds all secrets known by now. Undefined: no secret is known. A later one has all older patterns. */
  get matcher(): Matcher | undefined {
    return this.secrets.matcher;
  }

  /** Reads what the job has written to its file. */
  check(): void {
    this.file?.check();
  }

  /** A text that is whole, such as a command line or a message, without secrets. */
  text(value: string): string {
    this.check();
    return this.masked(value);
  }

  /** A message without secrets; ids stay. The same object if it holds no secret. */
  message<D extends DescMessage>(desc: D, message: MessageShape<D>): MessageShape<D> {
    this.check();
    return this.matcher === undefined ? message : mapText(desc, message, (text) => this.masked(text));
  }

  /** A logger that writes no secrets. */
  logger(logger: Logger): Logger {
    const fields = (given: LogFields = {}): LogFields =>
      Object.fromEntries(
        Object.entries(given).map(([key, value]) => [key, typeof value === "string" ? this.text(value) : value]),
      );
    return {
      debug: (message, given) => logger.debug(this.text(message), fields(given)),
      info: (message, given) => logger.info(this.text(message), fields(given)),
      warn: (message, given) => logger.warn(this.text(message), fields(given)),
      error: (message, given) => logger.error(this.text(message), fields(given)),
      child: (given) => this.logger(logger.child(fields(given))),
      flush: () => logger.flush(),
    };
  }

  /** Removes the file for further secrets. What is known stays known. */
  close(): void {
    this.file?.close();
  }

  private masked(value: string): string {
    if (this.matcher === undefined || value.length < SHORTEST_SECRET) return value;
    const parts: Uint8Array[] = [];
    const redactor = new Redactor(
      () => this.matcher,
      (data) => parts.push(Uint8Array.from(data)) > 0,
    );
    redactor.write(Buffer.from(value), 0n);
    redactor.flush();
    return Buffer.concat(parts).toString();
  }

  /** One value or several: where one ends is not known, unless there is a space. */
  private addUnfinished(text: Uint8Array): void {
    const values = trim(text);
    this.secrets.add(values);
    if (/^[^\s"'{}]*$/.test(latin(values))) this.secrets.addParts(values);
  }

  private add(secret: Uint8Array, warn: Warn): void {
    if (secret.length === 0) return;
    const added = this.secrets.add(secret);
    if (this.warnedFile || added === "added" || added === "known") return;
    this.warnedFile = true;
    warn(
      added === "short"
        ? `Cannot redact a line of $BELAY_REDACT: it is shorter than ${SHORTEST_SECRET} bytes`
        : "Cannot redact a line of $BELAY_REDACT: there are too many or too large secrets",
    );
  }
}
