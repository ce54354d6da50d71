import fs from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import v8 from "node:v8";
import { Script } from "node:vm";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { CodeCache } from "../../../src/cli/bundle/code-cache.ts";

/** A body with enough in it to tell compiled code from none. */
const SOURCE = `let calls = 0; exports.inner = function inner(a) { calls += a; return ${"a * 2 +".repeat(50)} a; };`;

let temp: string;
beforeEach(() => {
  temp = fs.mkdtempSync(path.join(tmpdir(), "belay-test-"));
});
afterEach(() => {
  vi.restoreAllMocks();
  fs.rmSync(temp, { recursive: true, force: true });
});

describe("The code cache", () => {
  test("keeps what was compiled in a run, functions that were called included, and writes it once", () => {
    const first = open();
    expect(run(first)).toBe(202);
    first.saveWhole("success");
    const called = kept();
    expect(run(open())).toBe(202);
    expect(files()).toHaveLength(1);
    const [file = ""] = files();
    expect(fs.statSync(file).mode & 0o777).toBe(0o600);
    expect(fs.statSync(path.dirname(file)).mode & 0o777).toBe(0o700);
    const { ino } = fs.statSync(file);
    const second = open();
    run(second);
    second.saveSoFar();
    second.saveWhole("success");
    expect(fs.statSync(file).ino).toBe(ino);
    fs.rmSync(file);
    const uncalled = open();
    compile(uncalled, "b.js");
    uncalled.saveWhole("success");
    expect(called).toBeGreaterThan(kept() + 100);
  });

  test("of a run that was not over is replaced by that of one that was", () => {
    const long = open();
    run(long);
    long.saveSoFar();
    const { ino } = fs.statSync(files()[0] ?? "");
    const next = open();
    run(next);
    next.saveSoFar();
    expect(fs.statSync(files()[0] ?? "").ino).toBe(ino);
    next.saveWhole("success");
    expect(fs.statSync(files()[0] ?? "").ino).not.toBe(ino);
  });

  test("grows when a run has ended in another way", () => {
    const first = open();
    compile(first, "c.js");
    first.saveWhole("success");
    const small = kept();
    const second = open();
    run(second, "c.js");
    second.saveWhole("success");
    expect(kept()).toBe(small);
    second.saveWhole("signal");
    expect(kept()).toBeGreaterThan(small + 100);
    const { ino } = fs.statSync(files()[0] ?? "");
    for (const end of ["signal", "success"]) {
      const next = open();
      run(next, "c.js");
      next.saveWhole(end);
    }
    expect(fs.statSync(files()[0] ?? "").ino).toBe(ino);
  });

  test("keeps files that this run did not load, and takes in those that it does not have", () => {
    const first = open();
    run(first, "a.js");
    first.saveWhole("success");
    const second = open();
    run(second, "b.js");
    second.saveWhole("success");
    const third = open();
    for (const name of ["a.js", "b.js"]) run(third, name);
    const { ino } = fs.statSync(files()[0] ?? "");
    third.saveWhole("success");
    expect(fs.statSync(files()[0] ?? "").ino).toBe(ino);
  });

  test.each<[string, (bytes: Buffer) => Buffer]>([
    ["damaged", (bytes) => flipped(bytes, bytes.length >> 1)],
    ["damaged in its head", (bytes) => flipped(bytes, 20)],
    ["cut short", (bytes) => bytes.subarray(0, bytes.length - 1)],
    ["empty", () => Buffer.alloc(0)],
    ["no cache at all", () => Buffer.from("00000000 this is something else\n")],
  ])("that is %s is not used, and is written again", (_, damage) => {
    const first = open();
    run(first);
    first.saveWhole("success");
    const [file = ""] = files();
    const good = fs.readFileSync(file);
    fs.writeFileSync(file, damage(good));
    const second = open();
    expect(run(second)).toBe(202);
    second.saveWhole("success");
    expect(fs.readFileSync(file).length).toBe(good.length);
    const { ino } = fs.statSync(file);
    const third = open();
    run(third);
    third.saveWhole("success");
    expect(fs.statSync(file).ino).toBe(ino);
  });

  test("is each user's own: a directory that others can write, or a link, is not touched", () => {
    const directory = path.join(temp, `belay-code-${process.getuid?.()}`);
    fs.mkdirSync(directory);
    fs.chmodSync(directory, 0o777);
    const first = open();
    run(first);
    first.saveWhole("success");
    expect(fs.readdirSync(directory)).toEqual([]);
    fs.rmdirSync(directory);
    fs.mkdirSync(path.join(temp, "elsewhere"), { mode: 0o700 });
    fs.symlinkSync("elsewhere", directory);
    const second = open();
    run(second);
    second.saveWhole("success");
    expect(fs.readdirSync(path.join(temp, "elsewhere"))).toEqual([]);
  });

  test("may be turned off, or be where it cannot be made", () => {
    for (const environment of [
      { NODE_DISABLE_COMPILE_CACHE: "1", TMPDIR: temp },
      { NODE_COMPILE_CACHE: "/proc/nowhere", TMPDIR: temp },
    ]) {
      const cache = open(environment);
      expect(run(cache)).toBe(202);
      cache.saveWhole("success");
    }
    expect(fs.readdirSync(temp)).toEqual([]);
  });

  test("is done without where its place may not be looked at", () => {
    vi.spyOn(fs, "lstatSync").mockImplementation(() => {
      throw Object.assign(new Error("EACCES"), { code: "EACCES" });
    });
    const cache = open();
    expect(run(cache)).toBe(202);
    cache.saveWhole("success");
    vi.restoreAllMocks();
    expect(fs.readdirSync(temp)).toEqual([]);
    // Gone, or closed to us, between the beginning and the end of a run.
    const second = open();
    run(second);
    vi.spyOn(fs, "openSync").mockImplementation(() => {
      throw new Error("EACCES");
    });
    vi.spyOn(fs, "rmSync").mockImplementation(() => {
      throw new Error("EACCES");
    });
    expect(() => second.saveWhole("success")).not.toThrow();
  });

  test("is another one for another program, command, or flags of Node", () => {
    const options = { program: "p", command: "run", environment: { TMPDIR: temp } };
    for (const other of [
      options,
      { ...options, program: "q" },
      { ...options, command: "logs" },
      { ...options, environment: { ...options.environment, NODE_OPTIONS: "--stack-size=900" } },
    ]) {
      const cache = new CodeCache(other);
      run(cache);
      cache.saveWhole("success");
    }
    expect(files()).toHaveLength(4);
  });

  test("of a version that has not been run for a month goes when another one is written", () => {
    const old = new CodeCache({ program: "old", command: "run", environment: { TMPDIR: temp } });
    run(old);
    old.saveWhole("success");
    const [file = ""] = files();
    const then = Date.now() / 1000 - 31 * 24 * 3600;
    fs.utimesSync(file, then, then);
    const cache = open();
    run(cache);
    cache.saveWhole("success");
    expect(fs.existsSync(file)).toBe(false);
    expect(files()).toHaveLength(1);
  });

  test("keeps what it has where a later run has less: V8 throws away what was not called for a while", () => {
    const first = open();
    run(first, "d.js");
    first.saveWhole("success");
    const large = kept();
    const second = open();
    compile(second, "e.js");
    second.saveWhole("success");
    const both = kept();
    const third = new CodeCache({ program: "p", command: "run", environment: { TMPDIR: temp } });
    for (const name of ["d.js", "e.js"]) compile(third, name);
    vi.spyOn(Script.prototype, "createCachedData").mockReturnValue(Buffer.alloc(8));
    third.saveWhole("signal");
    expect(both).toBeGreaterThan(large);
    expect(kept() - both).toBeLessThan(20);
  });

  test("asks V8 to keep what it compiles while there is nothing, and no longer", () => {
    const set = vi.spyOn(v8, "setFlagsFromString");
    const first = open();
    expect(set.mock.calls).toEqual([["--no-flush-bytecode"]]);
    run(first, "f.js");
    first.saveSoFar();
    first.saveWhole("success");
    expect(set.mock.calls).toEqual([["--no-flush-bytecode"], ["--flush-bytecode"]]);
    const second = open();
    run(second, "f.js");
    second.saveWhole("signal");
    expect(set.mock.calls).toHaveLength(2);
  });
});

function open(environment: Record<string, string> = { TMPDIR: temp }): CodeCache {
  return new CodeCache({ program: "p", command: "run", environment });
}

/** @returns what the function says for 2 */
function run(cache: CodeCache, name = "a.js"): number {
  return compile(cache, name)(2);
}

function compile(cache: CodeCache, name = "a.js"): (a: number) => number {
  const exports = {} as { inner: (a: number) => number };
  // Of the same text, V8 would remember what was called before.
  (cache.compile(name, `"${name}"; ${SOURCE}`, path.join("/", name), ["exports"]) as (exports: object) => void)(
    exports,
  );
  return exports.inner;
}

function files(): string[] {
  const directory = path.join(temp, `belay-code-${process.getuid?.()}`);
  return fs.readdirSync(directory).map((name) => path.join(directory, name));
}

/** Bytes that are kept in the only file. */
function kept(): number {
  return fs.statSync(files()[0] ?? "").size;
}

function flipped(bytes: Buffer, at: number): Buffer {
  const changed = Buffer.from(bytes);
  changed[at] = (changed[at] ?? 0) ^ 0xff;
  return changed;
}
