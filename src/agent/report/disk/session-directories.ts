import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { BelayError } from "../../../base/errors.ts";
import { removeAll } from "../../../base/files/remove.ts";
import { parseSegmentName } from "./format.ts";
import { LOCK_NAME, lockSpool } from "./lock-spool.ts";
import { isSpool } from "./meta.ts";
import { reasonOf } from "./spool-directory.ts";

/** A directory without a spool that is younger may be an agent's that starts at this moment. Milliseconds. */
const YOUNG_MS = 60_000;
/** What may be in a session's directory beside segments before its `meta.json` is. */
const FIRST_FILES: ReadonlySet<string> = new Set([LOCK_NAME, "meta.json.new", "position"]);

/**
 * Directories of sessions in a spool directory, oldest first. For a session's own directory, that one.
 *
 * @param except session that is skipped
 * @throws BelayError `BAD_USAGE` if the directory cannot be read
 */
export function sessionsIn(directory: string, except?: string): string[] {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch (error) {
    throw new BelayError("BAD_USAGE", `Cannot read the spool directory "${directory}": ${reasonOf(error)}`, {
      cause: error,
    });
  }
  if (isSession(directory)) return [directory];
  // A session's id sorts by time.
  return names
    .filter((name) => name !== except)
    .toSorted()
    .map((name) => join(directory, name))
    .filter(isSession);
}

/**
 * Whether nothing was ever kept in a session's directory: its agent died, or the disk was full, before it could write
 * whose it is. Removes it, unless an agent may be about to use it.
 */
export function removeUnused(path: string): boolean {
  if (isSpool(path) || filesIn(path).some((name) => !FIRST_FILES.has(name))) return false;
  if (Date.now() - statSync(path).mtimeMs < YOUNG_MS) return true;
  const unlock = lockSpool(path);
  if (unlock === undefined) return true;
  removeAll(path);
  unlock();
  return true;
}

/** Whether an agent has made it: it says whose it is, or has only the files that are made before that. */
function isSession(path: string): boolean {
  if (isSpool(path)) return true;
  const files = filesIn(path);
  const isOurs = (name: string): boolean => FIRST_FILES.has(name) || parseSegmentName(name) !== undefined;
  return files.includes(LOCK_NAME) && files.every(isOurs);
}

function filesIn(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
