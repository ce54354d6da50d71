import type { Logger as Pino } from "pino";
import type { Callbacks } from "./callbacks.ts";
import { callback, checkOptions, oneOf, type Rules } from "./options.ts";

/** Levels, the most verbose first. `silent` writes nothing. */
export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "silent"] as const;
/** A level of the log. */
export type LogLevel = (typeof LOG_LEVELS)[number];
/** `text` is one line for a user, `json` one JSON object a line for programs. */
export type LogFormat = "text" | "json";

/** Facts that a line contains. Never credentials. */
export type LogFields = Record<string, string | number | bigint | boolean | undefined>;

/** The program's own log, not the job's. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds these facts to each of its lines. */
  child(fields: LogFields): Logger;
  /** Resolves when every line so far has been written. */
  flush(): Promise<void>;
}

/** Options of a logger. */
export interface LoggerOptions {
  /** Lines below this level are not written. @default "info" */
  readonly level?: LogLevel;
  /** @default "text" */
  readonly format?: LogFormat;
  /** Writes a line, which includes its newline. @default standard error */
  readonly write?: (line: string) => void;
}

const RULES: Rules<LoggerOptions> = {
  level: oneOf(...LOG_LEVELS),
  format: oneOf("text", "json"),
  write: callback,
};

/** Writes nothing. */
export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLogger,
  flush: () => Promise.resolve(),
};

/** Wraps a logger of the calling program so that it never throws. */
export function guardLogger(logger: Logger, callbacks: Callbacks): Logger {
  if (logger === silentLogger) return logger;
  const guarded = (level: "debug" | "info" | "warn" | "error"): Logger["info"] => {
    const call = callbacks.guard(`logger.${level}`, (message: string, fields?: LogFields) =>
      fields === undefined ? logger[level](message) : logger[level](message, fields),
    );
    return (message, fields) => void call(message, fields);
  };
  return {
    debug: guarded("debug"),
    info: guarded("info"),
    warn: guarded("warn"),
    error: guarded("error"),
    child: (fields) => guardLogger(logger.child(fields), callbacks),
    flush: () => logger.flush(),
  };
}

/**
 * Makes a logger on pino. Loading pino takes longer than starting a small job, so it is loaded for the first line that
 * is written; lines wait for it in order.
 */
export function createLogger(given: LoggerOptions = {}): Logger {
  const options = checkOptions("createLogger", given, RULES);
  const level = options.level ?? "info";
  if (level === "silent") return silentLogger;
  const write = options.write ?? ((line) => void process.stderr.write(line));
  const format = options.format ?? "text";
  return new LazyLogger(new Sink(level, format, write), LOG_LEVELS.indexOf(level), {});
}

class Sink {
  private pino: Pino | undefined;
  private loading: Promise<void> | undefined;
  private waiting: (() => void)[] = [];
  private readonly level: LogLevel;
  private readonly format: LogFormat;
  private readonly write: (line: string) => void;

  constructor(level: LogLevel, format: LogFormat, write: (line: string) => void) {
    this.level = level;
    this.format = format;
    this.write = write;
  }

  line(level: Exclude<LogLevel, "silent">, message: string, fields: LogFields): void {
    if (this.pino !== undefined) {
      this.pino[level](fields, message);
      return;
    }
    const time = Date.now();
    this.waiting.push(() => this.pino?.[level]({ ...fields, time }, message));
    this.loading ??= this.load();
  }

  async flush(): Promise<void> {
    await this.loading;
  }

  private async load(): Promise<void> {
    const { pino } = await import("pino");
    const stream = { write: (line: string) => this.write(this.format === "json" ? line : textLine(line)) };
    this.pino = pino(
      {
        level: this.level,
        base: null,
        timestamp: false,
        mixin: () => ({ time: Date.now() }),
        // A line that had to wait keeps its original time.
        mixinMergeStrategy: (own, mixin) => ({ ...mixin, ...own }),
        formatters: { level: (label) => ({ level: label }), log: plain },
      },
      stream,
    );
    for (const line of this.waiting.splice(0)) line();
  }
}

/** JSON has no bigint; times are written in ISO 8601, for users and log stores. */
function plain(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [
      key,
      key === "time" ? new Date(Number(value)).toISOString() : typeof value === "bigint" ? Number(value) : value,
    ]),
  );
}

function textLine(json: string): string {
  const { level, time, msg, ...fields } = JSON.parse(json) as Record<string, unknown>;
  const facts = Object.entries(fields).map(([key, value]) => ` ${key}=${quoted(value)}`);
  return `${String(time).slice(11, 23)} ${String(level).padEnd(5)} ${String(msg)}${facts.join("")}\n`;
}

function quoted(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return /^[^\s"=]+$/.test(text) ? text : JSON.stringify(text);
}

class LazyLogger implements Logger {
  private readonly sink: Sink;
  private readonly threshold: number;
  private readonly fields: LogFields;

  constructor(sink: Sink, threshold: number, fields: LogFields) {
    this.sink = sink;
    this.threshold = threshold;
    this.fields = fields;
  }

  debug(message: string, fields?: LogFields): void {
    this.line("debug", message, fields);
  }
  info(message: string, fields?: LogFields): void {
    this.line("info", message, fields);
  }
  warn(message: string, fields?: LogFields): void {
    this.line("warn", message, fields);
  }
  error(message: string, fields?: LogFields): void {
    this.line("error", message, fields);
  }
  child(fields: LogFields): Logger {
    return new LazyLogger(this.sink, this.threshold, { ...this.fields, ...fields });
  }
  flush(): Promise<void> {
    return this.sink.flush();
  }

  private line(level: Exclude<LogLevel, "silent">, message: string, fields?: LogFields): void {
    if (LOG_LEVELS.indexOf(level) < this.threshold) return;
    this.sink.line(level, message, fields === undefined ? this.fields : { ...this.fields, ...fields });
  }
}
