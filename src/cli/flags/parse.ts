import { Command as Parser, CommanderError, Option } from "commander";
import { BelayError } from "../../base/errors.ts";
import type { Argument, Invocation, Command } from "./command.ts";
import { didYouMean } from "../../base/text/did-you-mean.ts";
import type { Flag, Flags } from "./flags.ts";
import { flagName, variableName, wanted } from "./flags.ts";
import { shownText } from "../../base/text/system-text.ts";

const SEVERAL = `The variable of a repeatable flag holds several values, separated by commas (BELAY_ENV: one a line); \\, is a
comma within a value.`;
/** An example longer than this has its comment above it. Columns. */
const LONG_EXAMPLE = 60;

/** A command line that has been read: a call of the command, or a request for its help. */
export type ParsedCommandLine = { readonly help: string } | Omit<Invocation<Flags>, "io">;

/**
 * Reads a command's arguments, flags and environment variables.
 *
 * @param argv arguments after the command's name
 * @param kept the settings of `belay config`: used where neither command line nor environment give a value
 * @throws BelayError `BAD_USAGE`
 */
export function parseCommand(
  command: Command,
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  columns: () => number = () => 80,
  kept: Readonly<Record<string, string>> = {},
): ParsedCommandLine {
  const parser = parserOf(command, columns);
  try {
    parser.parse(argv, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.code === "commander.helpDisplayed") return { help: parser.helpInformation() + afterHelp(command) };
    throw usageError(command, error);
  }
  const typed = parser.opts<Record<string, string[] | boolean | undefined>>();
  const flags: Record<string, unknown> = {};
  const given = new Set<string>();
  for (const [key, flag] of Object.entries(command.flags)) {
    const value = read(key, flag, typed[key], env);
    if (value !== undefined) given.add(key);
    const setting = Object.hasOwn(kept, key) ? kept[key] : undefined;
    const otherwise = setting === undefined ? flag.default : flag.read([setting], `${flagName(key)} of belay config`);
    flags[key] = value === undefined ? otherwise : value.read;
  }
  return { flags, given, args: parser.args, ...originOfTracker(command, typed, given, kept) };
}

/** Where the tracker's address comes from. Errors show it: a user who gave no address may not expect the one in use. */
function originOfTracker(
  command: Command,
  typed: Readonly<Record<string, unknown>>,
  given: ReadonlySet<string>,
  kept: Readonly<Record<string, string>>,
): { trackerFrom?: string } {
  const flag = Object.hasOwn(command.flags, "tracker") ? command.flags["tracker"] : undefined;
  if (flag === undefined || typed["tracker"] !== undefined) return {};
  if (given.has("tracker")) return { trackerFrom: `from ${variableName("tracker", flag) ?? ""}` };
  return { trackerFrom: kept["tracker"] === undefined ? "the default: see --tracker" : "from belay config" };
}

function read(
  key: string,
  flag: Flag<unknown>,
  typed: string[] | boolean | undefined,
  env: Readonly<Record<string, string | undefined>>,
): { read: unknown } | undefined {
  if (typed === true) return { read: flag.read(["true"], flagName(key)) };
  if (Array.isArray(typed)) return { read: flag.read(typed, flagName(key)) };
  const variable = variableName(key, flag);
  const fromEnv = variable === undefined ? undefined : env[variable];
  if (variable === undefined || fromEnv === undefined || fromEnv === "") return undefined;
  if (!fromEnv.isWellFormed()) throw wanted(variable, shownText(fromEnv), "UTF-8");
  const texts = flag.separator === undefined || flag.separator === "" ? [fromEnv] : split(fromEnv, flag.separator);
  return texts.length === 0 ? undefined : { read: flag.read(texts, variable) };
}

/** `a,b\\,c` is `a` and `b,c`. */
function split(text: string, separator: string): string[] {
  const parts = text.split(new RegExp(`(?<!\\\\)${separator}`));
  return parts.map((part) => part.replaceAll(`\\${separator}`, separator)).filter((part) => part.trim() !== "");
}

function parserOf(command: Command, columns: () => number): Parser {
  const parser = new Parser(`belay ${command.name}`)
    .description(command.about)
    .exitOverride()
    .configureOutput({
      writeOut: () => undefined,
      writeErr: () => undefined,
      getOutHelpWidth: () => Math.min(Math.max(columns(), 80), 120),
      getOutHasColors: () => false,
    })
    .allowExcessArguments(false)
    .usage(["[flags]", ...command.args.filter(isShown).map(({ name }) => name)].join(" "))
    .addHelpOption(new Option("-h, --help", "show this help").helpGroup("General:"));
  if (command.takesCommandLine === true) parser.passThroughOptions();
  for (const arg of command.args) parser.argument(arg.name, arg.help);
  for (const [key, flag] of Object.entries(command.flags)) parser.addOption(optionOf(key, flag));
  return parser;
}

function optionOf(key: string, flag: Flags[string]): Option {
  const names = `${flag.short === undefined ? "" : `-${flag.short}, `}${flagName(key)}`;
  const facts = [
    ...(flag.defaultText === undefined ? [] : [`default: ${flag.defaultText}`]),
    ...(flag.separator === undefined ? [] : ["repeatable"]),
    variableName(key, flag) ?? [],
  ].flat();
  const help = facts.length === 0 ? flag.help : `${flag.help} (${facts.join("; ")})`;
  const option = new Option(flag.value === undefined ? names : `${names} <${flag.value}>`, help);
  // In commander, `--no-x` would negate `--x`; here it is a flag of its own.
  option.negate = false;
  option.helpGroup(`${flag.group}:`).hideHelp(flag.hidden === true);
  if (flag.value !== undefined) {
    option.argParser<string[]>((text, before) => [...(Array.isArray(before) ? before : []), text]);
  }
  return option;
}

function isShown({ help }: Argument): boolean {
  return help !== undefined;
}

function afterHelp(command: Command): string {
  const isLong = (line: string): boolean => line.length > LONG_EXAMPLE;
  const width = Math.max(...command.examples.map(([line]) => (isLong(line) ? 0 : line.length)));
  const examples = command.examples.map(([line, does]) =>
    isLong(line) ? `  # ${does}\n  ${line}` : `  ${line.padEnd(width)}  # ${does}`,
  );
  const holdsSeveral = Object.entries(command.flags).some(
    ([key, flag]) => flag.separator === "," && variableName(key, flag) !== undefined,
  );
  return [
    ...(examples.length === 0 ? [] : ["", "Examples:", ...examples]),
    ...(command.notes === undefined ? [] : ["", command.notes.trim()]),
    ...(holdsSeveral ? ["", SEVERAL] : []),
    "",
  ].join("\n");
}

function usageError(command: Command, error: CommanderError): BelayError {
  const help = `belay ${command.name} --help`;
  const quoted = /'([^']*)'/.exec(error.message)?.[1] ?? "";
  const names = Object.keys(command.flags)
    .filter((key) => command.flags[key]?.hidden !== true)
    .map(flagName);
  switch (error.code) {
    case "commander.unknownOption": {
      const near = didYouMean(quoted, names);
      return bad(`Unknown flag "${quoted}" of belay ${command.name}${near === "" ? `: see ${help}` : near}`);
    }
    case "commander.optionMissingArgument":
      return bad(`Flag "${quoted}" needs a value: see ${help}`);
    case "commander.missingArgument":
      return bad(`belay ${command.name} needs an argument <${quoted}>: see ${help}`);
    case "commander.excessArguments":
      return bad(`Too many arguments for belay ${command.name}: see ${help}`);
    default:
      return bad(error.message.replace(/^error: /, ""));
  }
}

function bad(message: string): BelayError {
  return new BelayError("BAD_USAGE", message);
}
