import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readRooms, roomOf } from "./rooms.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const rooms = readRooms(ROOT);
/** Folders of which docs/architecture.md speaks in the row of the room around them. */
const INSIDE = [
  "base/files",
  "base/network",
  "base/network/proxy",
  "base/process",
  "base/secrets",
  "base/text",
  "tracker/net/limits",
  "agent/attempts",
  "agent/delivery",
  "agent/report/disk",
  "agent/report/output",
  "agent/report/redact",
  "agent/job/usage/gpu",
  "cli/render/job",
  "cli/render/metrics",
  "tracker/jobs/deadlines",
  "tracker/jobs/shown",
];

describe("The map of src in docs/architecture.md", () => {
  const folders = readdirSync(join(ROOT, "src"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => relative(join(ROOT, "src"), entry.parentPath))
    .filter((folder) => !folder.startsWith("gen/"));

  it("has a row for every folder", () => {
    const rowless = [...new Set(folders)].filter(
      (folder) => folder !== "" && !rooms.some(({ path }) => path === folder) && !INSIDE.includes(folder),
    );
    expect(rowless).toEqual([]);
  });

  it("has no folder with more than 20 files, but for the list of commands", () => {
    const sizes = Map.groupBy(folders, (folder) => folder);
    const crowded = [...sizes].filter(([folder, files]) => folder !== "cli/commands" && files.length > 20);
    expect(crowded.map(([folder, files]) => `${folder}: ${files.length}`)).toEqual([]);
  });

  it("has no file with more than 300 lines that does not begin with the reason", () => {
    const files = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" }).filter(
      (name) => name.endsWith(".ts") && !name.startsWith("gen/"),
    );
    const long = files.filter((name) => {
      const text = readFileSync(join(ROOT, "src", name), "utf8");
      return text.split("\n").length > 301 && !text.startsWith("// Longer than 300 lines:");
    });
    expect(long).toEqual([]);
  });

  it("names only rooms that exist", () => {
    const files = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" });
    const named = rooms.flatMap(({ path, imports }) => [path, ...imports]);
    expect(named.filter((path) => !files.includes(path))).toEqual([]);
    const paths = rooms.map(({ path }) => path);
    expect(rooms.flatMap(({ imports }) => imports).filter((path) => !paths.includes(path))).toEqual([]);
  });

  it("keeps agent, tracker and command line apart", () => {
    const reaches = (from: string, to: string): string[] =>
      rooms
        .filter(({ path, imports }) => path.split("/")[0] === from && imports.some((name) => name.split("/")[0] === to))
        .map(({ path }) => path);
    const forbidden = { agent: ["tracker", "cli", "testing"], tracker: ["agent", "cli", "testing"], testing: ["cli"] };
    const found = Object.entries(forbidden).flatMap(([from, all]) => all.flatMap((to) => reaches(from, to)));
    expect(found).toEqual([]);
    expect(
      rooms.filter(({ path }) => ["base", "gen", "contract"].includes(path)).flatMap((room) => room.imports),
    ).toEqual([]);
  });
});

describe("npm run lint", () => {
  let copy: string;

  beforeAll(() => {
    copy = mkdtempSync(join(tmpdir(), "belay-lint-"));
    for (const name of [".oxlintrc.json", "node_modules", "tsconfig.json", "docs", "package.json"]) {
      symlinkSync(join(ROOT, name), join(copy, name));
    }
    mkdirSync(join(copy, "test"));
    symlinkSync(join(ROOT, "test/lint"), join(copy, "test/lint"));
  });
  afterAll(() => rmSync(copy, { recursive: true, force: true }));

  /** Writes files below src, lints them, and returns what is complained of. */
  function lint(files: Readonly<Record<string, string>>): string {
    rmSync(join(copy, "src"), { recursive: true, force: true });
    for (const [name, text] of Object.entries(files)) {
      const path = join(copy, "src", name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
    }
    try {
      return execFileSync(join(ROOT, "node_modules/.bin/oxlint"), ["src"], { cwd: copy, encoding: "utf8" });
    } catch (error) {
      return String((error as { stdout: unknown }).stdout);
    }
  }

  /** A file of a room, and the specifier by which another imports it. */
  function fileOf(room: string, name: string): string {
    return room.endsWith(".ts") ? room : `${room}/${name}.ts`;
  }
  function importing(from: string, to: string): string {
    const path = relative(dirname(from), to);
    return `export * from "${path.startsWith(".") ? path : `./${path}`}";\n`;
  }

  it("fails for an import against any arrow, in every room", () => {
    const files: Record<string, string> = {};
    const expected: string[] = [];
    // What is generated is not linted.
    for (const { path, imports } of rooms.filter((room) => room.path !== "gen")) {
      const strangers = rooms.filter((room) => room.path !== path && !imports.includes(room.path));
      const stranger = strangers.find(({ path: other }) => !["base", "gen", "contract"].includes(other));
      if (stranger === undefined) continue;
      const from = fileOf(path, "probe");
      files[from] = importing(from, fileOf(stranger.path, "target"));
      files[fileOf(stranger.path, "target")] ??= "export const target = 1;\n";
      expected.push(`"${path}" may not import "${stranger.path}"`);
    }
    const complaints = lint(files);
    expect(expected.filter((text) => !complaints.includes(text))).toEqual([]);
    expect(expected.length).toBeGreaterThan(30);
  });

  it("is content with the arrows that are drawn", () => {
    const files: Record<string, string> = {};
    for (const { path, imports } of rooms) {
      if (path.endsWith(".ts")) continue;
      const from = fileOf(path, "probe");
      files[from] = imports.map((to) => importing(from, fileOf(to, "target"))).join("") || "export const probe = 1;\n";
      for (const to of imports) files[fileOf(to, "target")] ??= "export const target = 1;\n";
    }
    expect(lint(files)).not.toContain("rooms(arrows)");
  });

  it("fails for a cycle of types", () => {
    const complaints = lint({
      "base/one.ts": 'import type { Two } from "./two.ts";\nexport type One = Two | 1;\n',
      "base/two.ts": 'import type { One } from "./one.ts";\nexport type Two = One | 2;\n',
    });
    expect(complaints).toContain("import(no-cycle)");
  });

  it.each([
    ["an import", 'import "../tracker/a.ts";\n'],
    ["an import of types", 'import type { A } from "../tracker/a.ts";\nexport type B = A;\n'],
    ["an export from", 'export { a } from "../tracker/a.ts";\n'],
    ["a dynamic import", 'export const a = (): Promise<unknown> => import("../tracker/a.ts");\n'],
    ["the type of an import", 'export type A = import("../tracker/a.ts").A;\n'],
  ])("sees %s", (_, text) => {
    const complaints = lint({ "agent/probe.ts": text, "tracker/a.ts": "export const a = 1;\nexport type A = 1;\n" });
    expect(complaints).toContain('"agent" may not import "tracker"');
  });

  it("fails for a file in a folder that the map does not know", () => {
    const complaints = lint({
      "new-room/a.ts": 'export * from "../base/b.ts";\n',
      "base/b.ts": "export const b = 1;\n",
    });
    expect(complaints).toContain('"new-room/a.ts" is in no room');
  });
});

it("The innermost room of a file is the longest path that holds it", () => {
  expect(roomOf(rooms, "agent/job/tree/cgroup.ts")?.path).toBe("agent/job/tree");
  expect(roomOf(rooms, "agent/job/usage/gpu/parse.ts")?.path).toBe("agent/job/usage");
  expect(roomOf(rooms, "agent/options.ts")?.path).toBe("agent/options.ts");
});
