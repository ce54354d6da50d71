import { readdirSync, statSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { belay, tempDirectory, TrackerProcess } from "../helpers/cli.ts";

it("belay run loads its code from the cache of an earlier run, however much that run's job has printed", async () => {
  const tracker = await TrackerProcess.start();
  const temp = await tempDirectory();
  const directory = path.join(temp, `belay-code-${process.getuid?.()}`);
  const run = async (...command: string[]): Promise<number | NodeJS.Signals> =>
    belay(["run", "--tracker", tracker.url, "--quiet", "--", ...command], { env: { NODE_COMPILE_CACHE: temp } }).ended;
  // A job that prints much changes V8's flags, and V8 accepts cached code only with the flags for which it was made.
  expect(await run("head", "-c", "3000000", "/dev/zero")).toBe(0);
  const written = inodes(directory);
  expect(written).toHaveLength(1);
  expect(await run("true")).toBe(0);
  expect(await run("head", "-c", "3000000", "/dev/zero")).toBe(0);
  expect(inodes(directory)).toEqual(written);
});

it("A command that fails saves no code cache: it has compiled too little of the code", async () => {
  const temp = await tempDirectory();
  expect(await belay(["run", "--no-such-flag"], { env: { NODE_COMPILE_CACHE: temp } }).ended).toBe(64);
  expect(readdirSync(temp).filter((name) => name.startsWith("belay"))).toEqual([]);
});

/** Inodes of the files: a file that was written again has another one. */
function inodes(directory: string): number[] {
  return readdirSync(directory).map((name) => statSync(path.join(directory, name)).ino);
}
