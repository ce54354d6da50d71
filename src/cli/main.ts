import type { Ended } from "./program.ts";
import type { Launch } from "./process/launch.ts";

/** Runs the command line of this process. @returns when all output has been read */
export async function run(launch: Launch): Promise<Ended> {
  // Node 22 warns that SQLite is experimental; in later versions it is not.
  const warn = process.emitWarning.bind(process);
  process.emitWarning = (warning: string | Error, ...rest: unknown[]): void => {
    if (!String(warning).startsWith("SQLite is")) Reflect.apply(warn, process, [warning, ...rest]);
  };
  // Warnings of deprecations are for developers of Belay, not for its users.
  process.noDeprecation = true;
  const [{ main }, { processIo }] = await Promise.all([import("./program.ts"), import("./process/io.ts")]);
  const given = await exactly(process.argv.slice(2), launch);
  return main(given.argv, processIo(given.launch));
}

/** Arguments and environment with their original bytes: Node replaces bytes that are not UTF-8 by U+FFFD. */
async function exactly(argv: readonly string[], launch: Launch): Promise<{ argv: readonly string[]; launch: Launch }> {
  const texts = [argv, ...Object.entries(launch.environment)].flat();
  if (!texts.some((text) => text.includes("\ufffd"))) return { argv, launch };
  const { exactArguments, exactEnvironment } = await import("../base/text/exact-texts.ts");
  return {
    argv: exactArguments(argv),
    launch: { ...launch, environment: exactEnvironment(launch.environment) },
  };
}
