import type { Stats } from "node:fs";
import type { Script } from "node:vm";
import { crc32 } from "../../base/crc32.ts";

/** A cache that was not written for this time belongs to a version that is no longer used. Milliseconds. */
const STALE_AFTER_MS = 30 * 24 * 3600 * 1000;
/** V8 requires that code begins at a multiple of this; the checksum before it has the same length. Bytes. */
const ALIGNMENT = 8;
const CHECKSUM_LENGTH = 8;

/** Facts that decide which compiled code can be used, and where it is stored. */
export interface CodeCacheOptions {
  /** Changes with every byte of the program. */
  readonly program: string;
  /** Name of the command: each command uses other functions. */
  readonly command: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Head of a cache file: one line, after the checksum of the rest of the file and before the code. */
interface Head {
  /** Kinds of ends of the runs whose code the file has. */
  readonly ends: readonly string[];
  /** Offset of each source file's code, from the end of the head, and its length. */
  readonly files: Readonly<Record<string, readonly [number, number]>>;
}

/**
 * Code that earlier runs of the same command have compiled, kept on disk: 12 of the 100 ms in which an agent starts.
 *
 * Node's own cache (`module.enableCompileCache`) stores the code of a file at the time when it is loaded, without its
 * functions: V8 compiles those when they are called. This cache stores all code that is compiled when the run ends.
 *
 * It is in a directory that only the user can write, because its content decides which code runs. Without such a
 * directory, or if the cache cannot be read or does not fit, code is compiled as if there were no cache. Node's
 * variables apply: NODE_COMPILE_CACHE names another directory, NODE_DISABLE_COMPILE_CACHE turns the cache off.
 */
export class CodeCache {
  private readonly fs = process.getBuiltinModule("node:fs");
  private readonly vm = process.getBuiltinModule("node:vm");
  private readonly directory: string | undefined;
  private readonly name: string;
  /** Code that was read and that `compile` has not used yet. */
  private readonly kept: Map<string, Buffer>;
  private readonly ends: ReadonlySet<string>;
  private readonly scripts = new Map<string, Script>();
  /** Whether code was compiled that is not in the cache. */
  private isMissing = false;
  /** Whether the stored code does not fit this V8. */
  private isRejected = false;
  /** Whether nothing was stored: V8 must then keep all code that it compiles. */
  private isFirst: boolean;

  constructor({ program, command, environment }: CodeCacheOptions) {
    this.name = `${program}-${process.version}-${process.arch}-${flagsKey(environment)}-${command}`;
    this.directory = this.privateDirectory(environment);
    const { ends, kept } = this.read();
    this.ends = ends;
    this.kept = kept;
    this.isFirst = kept.size === 0 && this.directory !== undefined;
    // By default, V8 discards functions that were not called for some garbage collections.
    if (this.isFirst) setFlag("--no-flush-bytecode");
  }

  /**
   * Compiles a function body, or loads it from the cache.
   *
   * @param key changes with every byte of the source
   * @param file path of the source, for stack traces
   */
  compile(key: string, source: string, file: string, parameters: readonly string[]): unknown {
    const head = `(function (${parameters.join(", ")}) { `;
    const cachedData = this.kept.get(key);
    const script = new this.vm.Script(`${head}${source}\n})`, {
      filename: file,
      columnOffset: -head.length,
      importModuleDynamically: this.vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
      ...(cachedData === undefined ? {} : { cachedData }),
    });
    this.isRejected ||= script.cachedDataRejected === true;
    if (cachedData === undefined || this.isRejected) this.isMissing = true;
    this.kept.delete(key);
    this.scripts.set(key, script);
    return script.runInThisContext();
  }

  /** Stores the code compiled so far, if code is missing in the cache: for runs that may go on for weeks. */
  saveSoFar(): void {
    if (this.isMissing) this.write([...this.ends]);
  }

  /**
   * Stores the code that the run has compiled, if the cache has less.
   *
   * @param end kind of the run's end: runs that end in another way call other functions
   */
  saveWhole(end: string): void {
    if (this.isMissing || !this.ends.has(end)) this.write([...new Set([...this.ends, end])]);
  }

  /** Writes the file. A failure is ignored. */
  private write(ends: readonly string[]): void {
    const { fs, directory } = this;
    if (directory === undefined || this.scripts.size === 0) return;
    // V8 accepts code only under the flags with which it was stored.
    if (this.isFirst) setFlag("--flush-bytecode");
    this.isFirst = false;
    const temporary = `${directory}/${this.name}.${process.pid}`;
    try {
      // Without parents: Node makes those of NODE_COMPILE_CACHE, and other directories exist.
      if (!fs.existsSync(directory)) fs.mkdirSync(directory, { mode: 0o700 });
      if (!this.isPrivate(directory)) return;
      const fd = fs.openSync(temporary, "w", 0o600);
      try {
        fs.writeFileSync(fd, this.encode(ends));
      } finally {
        fs.closeSync(fd);
      }
      fs.renameSync(temporary, `${directory}/${this.name}`);
      this.isMissing = false;
      this.prune(directory);
    } catch {
      try {
        fs.rmSync(temporary, { force: true });
      } catch {
        // A later process with this id overwrites it.
      }
    }
  }

  private encode(ends: readonly string[]): Buffer {
    const files: Record<string, [number, number]> = {};
    const parts: Buffer[] = [];
    let at = 0;
    // V8 may have discarded functions that were read at the start: the larger code is stored.
    const all = this.isRejected ? new Map<string, Buffer>() : this.read().kept;
    for (const [key, script] of this.scripts) {
      const code = script.createCachedData();
      if (code.length > (all.get(key)?.length ?? 0)) all.set(key, code);
    }
    for (const [key, code] of all) {
      files[key] = [at, code.length];
      const padding = Buffer.alloc(aligned(code.length) - code.length);
      parts.push(code, padding);
      at += code.length + padding.length;
    }
    const head: Head = { ends, files };
    const text = `${JSON.stringify(head)}\n`;
    const checked = Buffer.concat([Buffer.from(text.padStart(aligned(text.length))), ...parts]);
    return Buffer.concat([Buffer.from(checksum(checked)), checked]);
  }

  private read(): { ends: Set<string>; kept: Map<string, Buffer> } {
    const nothing = { ends: new Set<string>(), kept: new Map<string, Buffer>() };
    if (this.directory === undefined) return nothing;
    try {
      const all = this.fs.readFileSync(`${this.directory}/${this.name}`);
      const checked = all.subarray(CHECKSUM_LENGTH);
      if (checksum(checked) !== all.toString("latin1", 0, CHECKSUM_LENGTH)) return nothing;
      const begin = checked.indexOf("\n") + 1;
      const { ends, files } = JSON.parse(checked.toString("latin1", 0, begin)) as Head;
      const kept = Object.entries(files).map(
        ([key, [at, length]]) => [key, checked.subarray(begin + at, begin + at + length)] as const,
      );
      return { ends: new Set(ends), kept: new Map(kept) };
    } catch {
      return nothing;
    }
  }

  private privateDirectory(environment: CodeCacheOptions["environment"]): string | undefined {
    if ((environment["NODE_DISABLE_COMPILE_CACHE"] ?? "") !== "") return undefined;
    const temporary = environment["TMPDIR"] || environment["TMP"] || environment["TEMP"] || "/tmp";
    const parent = environment["NODE_COMPILE_CACHE"] || temporary;
    const directory = `${parent}/belay-code-${process.getuid?.() ?? 0}`;
    return this.isPrivate(directory) ? directory : undefined;
  }

  /** Whether no other user can write there. A directory that does not exist yet can be made private. */
  private isPrivate(directory: string): boolean {
    let stats: Stats | undefined;
    try {
      stats = this.fs.lstatSync(directory, { throwIfNoEntry: false });
    } catch {
      return false;
    }
    if (stats === undefined) return true;
    return stats.isDirectory() && stats.uid === process.getuid?.() && (stats.mode & 0o077) === 0;
  }

  private prune(directory: string): void {
    for (const name of this.fs.readdirSync(directory)) {
      const file = `${directory}/${name}`;
      const stats = this.fs.lstatSync(file, { throwIfNoEntry: false });
      if (stats !== undefined && Date.now() - stats.mtimeMs > STALE_AFTER_MS) this.fs.rmSync(file, { force: true });
    }
  }
}

function setFlag(flag: string): void {
  process.getBuiltinModule("node:v8").setFlagsFromString(flag);
}

function aligned(length: number): number {
  return Math.ceil(length / ALIGNMENT) * ALIGNMENT;
}

/** Checksum of the file: V8 itself would run damaged code. */
function checksum(bytes: Uint8Array): string {
  return crc32(bytes).toString(16).padStart(CHECKSUM_LENGTH, "0");
}

/** A text that differs between flags of V8: code compiled with one set of flags does not fit another. */
function flagsKey(environment: CodeCacheOptions["environment"]): string {
  const flags = [...process.execArgv, environment["NODE_OPTIONS"] ?? ""].join(" ").trim();
  let hash = 0;
  for (const char of flags) hash = (Math.imul(hash, 31) + (char.codePointAt(0) ?? 0)) >>> 0;
  return hash.toString(36);
}
