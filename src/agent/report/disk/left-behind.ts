import { readdirSync } from "node:fs";
import { join } from "node:path";
import { isSpool } from "./meta.ts";

/**
 * Directories of sessions that are in a spool directory, oldest first; a session's own directory stands for itself.
 *
 * @param except session that is left out
 */
export function sessionsIn(directory: string, except?: string): string[] {
  if (isSpool(directory)) return [directory];
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch {
    return [];
  }
  // A session's id sorts by time.
  return names
    .filter((name) => name !== except)
    .toSorted()
    .map((name) => join(directory, name))
    .filter(isSpool);
}
