#!/usr/bin/env node
// The `belay` command. Kept tiny: the compile cache must be on before anything else is loaded, and an old Node must
// hear one clear line instead of a syntax error.
import module from "node:module";

const OLDEST = [22, 18] as const;

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])) {
  process.stderr.write(
    `belay: Cannot run on Node ${process.versions.node} (${process.execPath}): needs Node ${OLDEST.join(".")} or later; install one and put it first in PATH\n`,
  );
  process.exit(125);
}
// Node 22 warns that SQLite is experimental, which it no longer is.
const warn = process.emitWarning.bind(process);
process.emitWarning = (warning: string | Error, ...rest: unknown[]): void => {
  if (!String(warning).startsWith("SQLite is")) Reflect.apply(warn, process, [warning, ...rest]);
};
// Deprecations are for us, not for those who run a job.
process.noDeprecation = true;
module.enableCompileCache();
void import("./program.ts").then(async ({ main }) => process.exit(await main(process.argv.slice(2))));
