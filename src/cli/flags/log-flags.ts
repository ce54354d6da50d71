import type { LogFormat, Logger, LogLevel } from "../../base/logger.ts";
import { createLogger, LOG_LEVELS } from "../../base/logger.ts";
import { boundedLines } from "../process/bounded-lines.ts";
import type { Flag, Grouped, Values } from "./flags.ts";
import { choice, grouped } from "./flags.ts";
import type { Io } from "../process/io.ts";

/** Flags of the programs that keep running: agent and tracker. */
export type LogFlags = Grouped<{ logLevel: Flag<LogLevel | undefined>; logFormat: Flag<LogFormat> }>;

/** See LogFlags. */
export const logFlags: LogFlags = grouped("Log", {
  logLevel: choice(LOG_LEVELS, {
    value: "LEVEL",
    help: `minimum level of Belay's own log: ${LOG_LEVELS.join(", ")}`,
  }),
  logFormat: choice(["text", "json"], { default: "text", help: "format of that log, on standard error" }),
});

/** The program's own log, to standard error. */
export function loggerOf(flags: Values<LogFlags>, byDefault: LogLevel, io: Io): Logger {
  return createLogger({
    level: flags.logLevel ?? byDefault,
    format: flags.logFormat,
    write: boundedLines(io.stderr),
  });
}
