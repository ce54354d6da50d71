import type { Ended } from "./program.ts";
import type { Launch } from "./process/launch.ts";

/** Runs the command line of this process. @returns when everything written has arrived */
export async function run(launch: Launch): Promise<Ended> {
  // Node 22 warns that SQLite is experimental, which it no longer is.
  const warn = process.emitWarning.bind(process);
  process.emitWarning = (warning: string | Error, ...rest: unknown[]): void => {
    if (!String(warning).startsWith("SQLite is")) Reflect.apply(warn, process, [warning, ...rest]);
  };
  // Deprecations are for us, not for those who run a job.
  process.noDeprecation = true;
  const [{ main }, { processIo }] = await Promise.all([import("./program.ts"), import("./process/io.ts")]);
  const given = await exactly(process.argv.slice(2), launch);
  return main(given.argv, processIo(given.launch));
}

/** Arguments and environment with the bytes that they had: Node puts U+FFFD in the place of what is not UTF-8. */
async function exactly(argv: readonly string[], launch: Launch): Promise<{ argv: readonly string[]; launch: Launch }> {
  const texts = [argv, ...Object.entries(launch.environment)].flat();
  if (!texts.some((text) => text.includes("\ufffd"))) return { argv, launch };
  const { exactArguments, exactEnvironment } = await import("../base/text/exact-texts.ts");
  return {
    argv: exactArguments(argv),
    launch: { ...launch, environment: exactEnvironment(launch.environment) },
  };
}
