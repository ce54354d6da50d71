import type { Flags, Values } from "./flags.ts";
import type { Io } from "../process/io.ts";

/** What a command is called with. */
export interface Call<F extends Flags> {
  readonly flags: Values<F>;
  /** Names of the flags that command line or environment gave. */
  readonly given: ReadonlySet<string>;
  /** Where the tracker's address comes from, if not from the command line. Undefined: it does, or there is none. */
  readonly trackerFrom?: string;
  readonly args: readonly string[];
  readonly io: Io;
}

/** A command of the command line. */
export interface CommandOf<F extends Flags> {
  readonly name: string;
  /** Arguments as commander writes them: `<job>`, `[command...]`. */
  readonly args: readonly { readonly name: string; readonly help: string; readonly words?: readonly string[] }[];
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
   * Does it.
   *
   * @returns the exit code
   * @throws BelayError whatever a user can mend
   */
  run(call: Call<F>): Promise<number>;
}

/** A command whose flags only it knows. */
export type Command = Omit<CommandOf<Flags>, "run"> & { run(call: Call<Flags>): Promise<number> };

/** Ties a command's code to the types of its flags. */
export function command<F extends Flags>(definition: CommandOf<F>): Command {
  return definition;
}
