// The picture in README.md: the output of a real run of `belay demo`. `npm run picture` records it again.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { resolve } from "node:path";

const ROOT = resolve(import.meta.dirname, "../..");
const README = resolve(ROOT, "README.md");
const PICTURE = /(<!-- npm run picture -->\n```console\n)([\s\S]*?)(```\n)/;
/** Kinds of lines that come once a second: the picture keeps only the first of each. */
const REPEATED = ["heartbeat", "metrics"];

/** The scenes of the demo without repeated lines. @param output of `belay demo` */
export function pictureOf(output: string): string[] {
  const lines = output.split("\n");
  const scenes = lines.slice(
    lines.findIndex((line) => line.startsWith("1. ")),
    lines.findIndex((line) => line.startsWith("Now try it yourself")) - 1,
  );
  const seen = new Set<string>();
  const kept = scenes.map((line) => {
    const kind = /^ +[\d.]+s {2}(\S+)/.exec(line)?.[1] ?? "";
    const isRepeated = /step [2-5] of 6/.test(line) || (REPEATED.includes(kind) && seen.has(kind));
    seen.add(kind);
    return isRepeated ? "      …" : line;
  });
  return kept.filter((line, i) => line !== "      …" || kept[i - 1] !== line);
}

/** The picture as README.md has it. */
export function recordedPicture(): string[] {
  return PICTURE.exec(readFileSync(README, "utf8"))?.[2]?.trimEnd().split("\n").slice(2) ?? [];
}

/** A line without the parts that differ from run to run and from machine to machine. */
export function shapeOf(line: string): string {
  return line
    .replaceAll(/ on \S+, pid/g, " on HOST, pid")
    .replace(/keeps its job in a .*| \(cgroup\)$| \(process group\)$/, "")
    .replace(/, disk .*/, "")
    .replace(/by command \w+/, "by command ID")
    .replaceAll(/[\d.]+( ?(ms|s|B|KiB|MiB))?\b/g, "0")
    .replaceAll(/\b(process|line)(es|s)?\b/g, "$1")
    .replaceAll(/ +/g, " ")
    .trim();
}

if (import.meta.main) {
  const output = execFileSync(process.execPath, [resolve(ROOT, "dist/cli/main.js"), "demo"], { encoding: "utf8" });
  const picture = pictureOf(output.replaceAll(` on ${hostname()},`, " on worker-1,"));
  const text = ["$ npx belay demo", "", ...picture, ""].join("\n");
  const readme = readFileSync(README, "utf8");
  writeFileSync(
    README,
    readme.replace(PICTURE, (_, begin: string, __, end: string) => `${begin}${text}${end}`),
  );
}
