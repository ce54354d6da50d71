// The first file of `belay`: on an old Node it prints one clear line instead of a syntax error. It loads everything
// else through the code cache. It requires only modules that Node has loaded already.
import type { CodeCache as Cache } from "./code-cache.ts";
import { CodeCache } from "./code-cache.ts";
import { nodeTookEnvFile, takeLaunch } from "../process/launch.ts";
import { keepHeapSmall } from "./heap.ts";
import { keepDebuggerShut } from "./no-debugger.ts";
import type * as Program from "../main.ts";

/** Set by the bundler: the name of the program's first file, and a text that changes with every byte of it. */
declare const BELAY_ENTRY: string;
declare const BELAY_PROGRAM: string;

/** Commands that run for long, and whose garbage is mostly short-lived. */
const SMALL: ReadonlySet<string> = new Set(["run", "top"]);

/** A process that runs for this time may run for weeks: code that it has compiled by then is stored. Milliseconds. */
const KEEP_CODE_AFTER_MS = 10_000;

const OLDEST = [22, 18] as const;

keepDebuggerShut();

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])) {
  process.stderr.write(
    `belay: Cannot run on Node ${process.versions.node} (${process.execPath}): needs Node ${OLDEST.join(".")} or later; install one and put it first in PATH\n`,
  );
  process.exit(125);
}

const launch = takeLaunch(process.env);
if (nodeTookEnvFile(launch, process.argv.slice(2))) {
  process.stderr.write(
    `belay: Cannot use --env-file: Node reads it itself when it is started with this script as its argument; start the script by its own name, or with sh\n`,
  );
  process.exit(64);
}

/** Loads files of the program. They are in one directory, and their names change with their contents. */
class Loader {
  private readonly directory: string;
  private readonly cache: Cache;
  private readonly loaded = new Map<string, { exports: unknown }>();
  private readonly fs = process.getBuiltinModule("node:fs");

  constructor(directory: string, cache: Cache) {
    this.directory = directory;
    this.cache = cache;
  }

  readonly require = (id: string): unknown => {
    if (!id.startsWith("./")) return process.getBuiltinModule(id) ?? this.missing(id);
    const known = this.loaded.get(id);
    if (known !== undefined) return known.exports;
    const module = { exports: {} };
    this.loaded.set(id, module);
    const file = `${this.directory}/${id.slice(2)}`;
    const parameters = ["exports", "require", "module", "__filename", "__dirname"];
    const body = this.cache.compile(id, this.fs.readFileSync(file, "utf8"), file, parameters) as (
      ...args: unknown[]
    ) => void;
    Reflect.apply(body, module.exports, [module.exports, this.require, module, file, this.directory]);
    return module.exports;
  };

  /** Fails like Node's own loader: some packages try to load others that may be missing. */
  private missing(id: string): never {
    throw Object.assign(new Error(`Cannot find module '${id}'`), { code: "MODULE_NOT_FOUND" });
  }
}

const command = /^[a-z]+$/.exec(process.argv[2] ?? "")?.[0] ?? "none";
// V8 accepts the cache only with the flags with which it was made: they are the same for all runs of a command.
if (SMALL.has(command)) keepHeapSmall();
const cache = new CodeCache({ program: BELAY_PROGRAM, command, environment: process.env });
const { run } = new Loader(import.meta.dirname, cache).require(BELAY_ENTRY) as typeof Program;
setTimeout(() => cache.saveSoFar(), KEEP_CODE_AFTER_MS).unref();
void run(launch).then(({ code, worked }) => {
  if (worked) cache.saveWhole(kindOf(code));
  process.exit(code);
});

/** Kind of a run's end, by its exit code. */
function kindOf(code: number): string {
  if (code === 0) return "success";
  return code < 128 ? "failure" : "signal";
}
