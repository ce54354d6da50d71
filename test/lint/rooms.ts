import { readFileSync } from "node:fs";
import { join } from "node:path";

/** A room: a folder of `src`, or one file that more may import than the rest of its folder. */
export interface Room {
  /** Below `src`, such as `agent/job/tree` or `agent/options.ts`. */
  readonly path: string;
  /** Rooms whose files it may import, besides its own. */
  readonly imports: readonly string[];
}

/** Rooms that every other may import: they know nothing of the rest. */
const GROUND: readonly string[] = ["base", "gen", "contract"];

/**
 * Reads the table of rooms in docs/architecture.md, which is the one place where the arrows are written down.
 *
 * @param root of the project
 */
export function readRooms(root: string): readonly Room[] {
  const page = readFileSync(join(root, "docs/architecture.md"), "utf8");
  const rows = page.matchAll(/^\| `([a-z0-9/.-]+)` \|[^|]*\| ([^|]*) \|$/gm);
  const rooms = [...rows].map(([, path = "", cell = ""]) => ({
    path,
    imports: [...cell.matchAll(/`([a-z0-9/.-]+)`/g)].map(([, name = ""]) => name),
  }));
  if (rooms.length === 0) throw new Error("docs/architecture.md has no table of rooms");
  return rooms;
}

/** The innermost room of a file. @param path below `src` */
export function roomOf(rooms: readonly Room[], path: string): Room | undefined {
  const holding = rooms.filter((room) => path === room.path || path.startsWith(`${room.path}/`));
  return holding.toSorted((a, b) => b.path.length - a.path.length)[0];
}

/**
 * What an import breaks; undefined: it is one of the arrows.
 *
 * @param from the importing file, below `src`
 * @param to the imported one, below `src`
 */
export function arrowProblem(rooms: readonly Room[], from: string, to: string): string | undefined {
  const source = roomOf(rooms, from);
  const target = roomOf(rooms, to);
  if (source === undefined || target === undefined) {
    return `"${source === undefined ? from : to}" is in no room of docs/architecture.md`;
  }
  const ground = GROUND.includes(target.path) && !["base", "gen"].includes(source.path);
  if (source === target || ground || source.imports.includes(target.path)) return undefined;
  const allowed = source.imports.length === 0 ? "nothing else of ours" : source.imports.join(", ");
  return `"${source.path}" may not import "${target.path}": docs/architecture.md lets it import ${allowed}`;
}
