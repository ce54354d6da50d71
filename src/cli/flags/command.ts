import type { Flags, Values } from "./flags.ts";
import type { Io } from "../process/io.ts";

/** What a command is called with. */
export interface Invocation<F extends Flags> {
  readonly flags: Values<F>;
  /** Names of the flags that command line or environment gave. */
  readonly given: ReadonlySet<string>;
  /**
   * Where the tracker's address comes from, if not from the command line. Undefined: from the command line, or the
   * command has no such flag.
   */
  readonly trackerFrom?: string;
  readonly args: readonly string[];
  readonly io: Io;
}

/** An argument of a command. */
export interface Argument {
  /** As commander writes it: `<job>`, `[command...]`. */
  readonly name: string;
  /** Absent: the help does not show the argument, which works anyway. */
  readonly help?: string;
  readonly words?: readonly string[];
}

/** A command of the command line. */
export interface CommandOf<F extends Flags> {
  readonly name: string;
  readonly args: readonly Argument[];
  /** One or two sentences under the usage line. */
  readonly about: string;
  readonly flags: F;
  /** Command lines to copy, and what each does. */
  readonly examples: readonly (readonly [line: string, does: string])[];
  /** Further sections of the help, as they are. */
  readonly notes?: string;
  /** The arguments are another program's command line: flags after the first argument are its own. */
  readonly takesCommandLine?: boolean;
  /**
   * Runs the command.
   *
   * @returns the exit code
   * @throws BelayError for every problem that a user can solve
   */
  run(invocation: Invocation<F>): Promise<number>;
}

/** A command without the types of its flags. */
export type Command = Omit<CommandOf<Flags>, "run"> & { run(invocation: Invocation<Flags>): Promise<number> };

/** Ties a command's code to the types of its flags. */
export function command<F extends Flags>(definition: CommandOf<F>): Command {
  return definition;
}
