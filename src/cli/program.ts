import { BelayError, errnoOf, messageOf } from "../base/errors.ts";
import { systemProblem } from "../base/files/file-problem.ts";
import { COMMAND_GROUPS, COMMANDS } from "./commands.ts";
import { readContext } from "./flags/context.ts";
import { didYouMean } from "../base/text/did-you-mean.ts";
import type { Io } from "./process/io.ts";
import { shownText } from "../base/text/system-text.ts";
import { VERSION } from "../base/version.ts";
import { STOPPED_READER_MS, whenRead } from "./process/when-read.ts";

/** How the program ended. */
export interface Ended {
  readonly code: number;
  /** Whether the command did its work, with any result. False: it ended with an error. */
  readonly worked: boolean;
}

/**
 * The whole program: finds the command, runs it, and reports errors.
 *
 * @param argv arguments, without node and script
 * @returns when all output has been read
 */
export async function main(argv: readonly string[], io: Io): Promise<Ended> {
  const ended = await attempt(argv, io);
  await io.stdout.flush();
  // A reader of messages that stops reading delays nothing.
  await whenRead(io.stderr, () => STOPPED_READER_MS);
  return { ...ended, code: await afterOutput(io, ended.code) };
}

async function attempt(argv: readonly string[], io: Io): Promise<Ended> {
  try {
    return { code: await dispatch(argv, io), worked: true };
  } catch (error) {
    const system = error instanceof BelayError ? undefined : systemProblem(error);
    await io.stderr.write(`belay: ${system === undefined ? messageOf(error) : `Cannot go on: ${system}`}\n`);
    if (system === undefined && !(error instanceof BelayError) && error instanceof Error) {
      await io.stderr.write(`belay: This is a bug in Belay; please report it with these lines\n${error.stack}\n`);
    }
    // Loaded late: it imports the contract, which `belay --version` does not need.
    const { exitCodeOfError } = await import("./process/exit-codes.ts");
    return { code: exitCodeOfError(error), worked: false };
  }
}

/** The exit code. If some of this program's own output was lost, it is not 0. */
async function afterOutput(io: Io, code: number): Promise<number> {
  const problem = io.stdout.problem ?? io.stderr.problem;
  if (problem === undefined) return code;
  const which = io.stdout.problem === undefined ? "error" : "output";
  const why = errnoOf(problem) === "ENOSPC" ? "the disk is full" : messageOf(problem);
  await io.stderr.write(`belay: Cannot write to standard ${which}: ${why}\n`);
  await whenRead(io.stderr, () => STOPPED_READER_MS);
  const { EXIT_BELAY } = await import("./process/exit-codes.ts");
  return code === 0 ? EXIT_BELAY : code;
}

async function dispatch(argv: readonly string[], io: Io): Promise<number> {
  const malformed = argv.findIndex((one) => !one.isWellFormed());
  if (malformed >= 0) {
    const shown = shownText(argv[malformed] ?? "");
    throw new BelayError(
      "BAD_USAGE",
      `Cannot use argument ${malformed + 1} "${shown}" of the command line: expected UTF-8`,
    );
  }
  const [name, ...rest] = argv;
  if (name === "--version" || name === "-V") {
    await io.stdout.write(`belay ${VERSION}\n`);
    return 0;
  }
  if (name === undefined || name === "--help" || name === "-h" || (name === "help" && rest.length === 0)) {
    await io.stdout.write(overview());
    return 0;
  }
  if (name === "help") return dispatch([...rest.slice(0, 1), "--help"], io);
  const entry = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (entry === undefined) {
    const near = didYouMean(name, Object.keys(COMMANDS));
    const what = name.startsWith("-") ? "flag" : "command";
    throw new BelayError("BAD_USAGE", `Unknown ${what} "${name}"${near === "" ? ": see belay --help" : near}`);
  }
  const [command, { parseCommand }] = await Promise.all([entry.load(), import("./flags/parse.ts")]);
  // Only commands that call a tracker have flags that can be saved.
  const kept = Object.hasOwn(command.flags, "tracker") ? readContext(io.env) : {};
  const parsed = parseCommand(command, rest, io.env, () => io.stdout.columns, kept);
  if ("help" in parsed) {
    await io.stdout.write(parsed.help);
    return 0;
  }
  try {
    return await command.run({ ...parsed, io });
  } catch (error) {
    throw withOrigin(error, parsed.trackerFrom, parsed.flags["tracker"]);
  }
}

/** Errors that depend on the called tracker. */
const OF_A_TRACKER: ReadonlySet<string> = new Set(["TRACKER_UNREACHABLE", "TRACKER_REFUSED", "NOT_FOUND"]);

/** Adds the tracker to an error, and where its address comes from, if that is not the command line. */
function withOrigin(error: unknown, from: string | undefined, tracker: unknown): unknown {
  if (from === undefined || !(error instanceof BelayError) || !OF_A_TRACKER.has(error.code)) return error;
  return new BelayError(error.code, `${error.message} (tracker ${String(tracker)}, ${from})`, { cause: error });
}

function overview(): string {
  const groups = COMMAND_GROUPS.map((group) => {
    const entries = Object.entries(COMMANDS).filter(([, entry]) => entry.group === group);
    return [`${group}:`, ...entries.map(([name, { summary }]) => `  ${name.padEnd(10)}  ${summary}`), ""].join("\n");
  });
  return `Usage: belay <command> [flags]

Belay runs one batch job on a worker. It streams everything the job prints and uses to your tracker over one gRPC
stream, and one command from the tracker stops it and every process it started.

${groups.join("\n")}
First steps:
  belay demo                                 # see it work; needs no other program, leaves nothing behind
  belay tracker                              # in one terminal
  belay run --job hello -- echo 'it works'   # in another
  belay logs hello

\`belay <command> --help\` shows a command's flags and examples; \`belay --version\` prints the version.
`;
}
