import type { CodeCache } from "./bundle/code-cache.ts";
import type { Launch } from "./bundle/launch.ts";

/** A process that runs so long may run for weeks: what it has compiled by then is kept. Milliseconds. */
const KEEP_CODE_AFTER_MS = 10_000;

/** Runs the command line, and ends the process with its exit code. */
export async function start(cache: CodeCache, launch: Launch): Promise<void> {
  // Node 22 warns that SQLite is experimental, which it no longer is.
  const warn = process.emitWarning.bind(process);
  process.emitWarning = (warning: string | Error, ...rest: unknown[]): void => {
    if (!String(warning).startsWith("SQLite is")) Reflect.apply(warn, process, [warning, ...rest]);
  };
  // Deprecations are for us, not for those who run a job.
  process.noDeprecation = true;
  setTimeout(() => cache.saveSoFar(), KEEP_CODE_AFTER_MS).unref();
  const [{ main }, { processIo }] = await Promise.all([import("./program.ts"), import("./io.ts")]);
  const keep = (code: number): void => cache.saveWhole(kindOf(code));
  const given = await exactly(process.argv.slice(2), launch);
  process.exit(await main(given.argv, processIo(given.launch), keep));
}

/** Arguments and environment with the bytes that they had: Node puts U+FFFD in the place of what is not UTF-8. */
async function exactly(argv: readonly string[], launch: Launch): Promise<{ argv: readonly string[]; launch: Launch }> {
  const texts = [argv, ...Object.entries(launch.environment)].flat();
  if (!texts.some((text) => text.includes("\ufffd"))) return { argv, launch };
  const { exactArguments, exactEnvironment } = await import("../base/exact-texts.ts");
  return {
    argv: exactArguments(argv),
    launch: { ...launch, environment: exactEnvironment(launch.environment) },
  };
}

/** Roughly how a run has gone, by its exit code. */
function kindOf(code: number): string {
  if (code === 0) return "success";
  return code < 128 ? "failure" : "signal";
}
