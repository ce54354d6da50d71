import type { Stats } from "node:fs";
import type { Script } from "node:vm";
import { crc32 } from "../../base/crc32.ts";

/** Caches that were not written for so long belong to a version that is gone. Milliseconds. */
const STALE_AFTER_MS = 30 * 24 * 3600 * 1000;
/** What V8 wants its code to begin at a multiple of; the checksum before it is as long. Bytes. */
const ALIGNMENT = 8;
const CHECKSUM_LENGTH = 8;

/** What decides whether code that was compiled then can be used now, and where it is kept. */
export interface CodeCacheOptions {
  /** Changes with every byte of the program. */
  readonly program: string;
  /** What the user asked for: each command uses other functions. */
  readonly command: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** What is in a file. It stands in a line after the checksum of all that follows, and before the code. */
interface Head {
  /** How the runs ended whose code is in it. */
  readonly ends: readonly string[];
  /** Where the code of each file is, from the end of the head, and its length. */
  readonly files: Readonly<Record<string, readonly [number, number]>>;
}

/**
 * Code that earlier runs of the same command have compiled, kept on disk: 12 of the 100 ms in which an agent starts.
 *
 * Node's own (`module.enableCompileCache`) keeps a file as it was compiled when it was loaded, which is without the
 * functions in it: V8 compiles those when they are called. This one keeps what had been compiled when the run ended.
 *
 * It is in a directory that only the user can write, since its content decides which code runs. Without such a directory,
 * or if the cache cannot be read or does not fit, code is compiled as if there were no cache. Node's variables apply:
 * NODE_COMPILE_CACHE names another place, NODE_DISABLE_COMPILE_CACHE turns it off.
 */
export class CodeCache {
  private readonly fs = process.getBuiltinModule("node:fs");
  private readonly vm = process.getBuiltinModule("node:vm");
  private readonly directory: string | undefined;
  private readonly name: string;
  /** What was read and not asked for yet. */
  private readonly kept: Map<string, Buffer>;
  private readonly ends: ReadonlySet<string>;
  private readonly scripts = new Map<string, Script>();
  /** Something was compiled that is not in the cache. */
  private isMissing = false;
  /** What was kept does not fit this V8. */
  private isRejected = false;
  /** Nothing was kept: V8 must keep what it compiles. */
  private isFirst: boolean;

  constructor({ program, command, environment }: CodeCacheOptions) {
    this.name = `${program}-${process.version}-${process.arch}-${flagsKey(environment)}-${command}`;
    this.directory = this.privateDirectory(environment);
    const { ends, kept } = this.read();
    this.ends = ends;
    this.kept = kept;
    this.isFirst = kept.size === 0 && this.directory !== undefined;
    // Else it throws away functions that were not called for some collections of memory.
    if (this.isFirst) setFlag("--no-flush-bytecode");
  }

  /**
   * Compiles a function body, or loads it from the cache.
   *
   * @param key changes with every byte of the source
   * @param file where the source is, for stack traces
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

  /** Keeps what is compiled now, if nothing is kept yet: for runs whose end cannot be foreseen. */
  saveSoFar(): void {
    if (this.isMissing) this.write([...this.ends]);
  }

  /**
   * Keeps what the run has compiled, if that is more than was kept.
   *
   * @param end how it has ended: runs that end in another way call other functions
   */
  saveWhole(end: string): void {
    if (this.isMissing || !this.ends.has(end)) this.write([...new Set([...this.ends, end])]);
  }

  /** A failure to write does not fail the program. */
  private write(ends: readonly string[]): void {
    const { fs, directory } = this;
    if (directory === undefined || this.scripts.size === 0) return;
    // Code fits only the flags under which it is kept.
    if (this.isFirst) setFlag("--flush-bytecode");
    this.isFirst = false;
    const temporary = `${directory}/${this.name}.${process.pid}`;
    try {
      // Not with parents: Node makes those of NODE_COMPILE_CACHE, and others are there.
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
        // The next run of this pid writes over it.
      }
    }
  }

  private encode(ends: readonly string[]): Buffer {
    const files: Record<string, [number, number]> = {};
    const parts: Buffer[] = [];
    let at = 0;
    // V8 may have thrown away by now what was read in the beginning; then what was kept has more.
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

  /** Whether no other user can write there; a directory that does not exist can be created so. */
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

/** V8 itself runs what it finds, damaged or not. */
function checksum(bytes: Uint8Array): string {
  return crc32(bytes).toString(16).padStart(CHECKSUM_LENGTH, "0");
}

/** Different for different flags of V8, whose code does not fit each other. */
function flagsKey(environment: CodeCacheOptions["environment"]): string {
  const flags = [...process.execArgv, environment["NODE_OPTIONS"] ?? ""].join(" ").trim();
  let hash = 0;
  for (const char of flags) hash = (Math.imul(hash, 31) + (char.codePointAt(0) ?? 0)) >>> 0;
  return hash.toString(36);
}
