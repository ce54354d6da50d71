import { mkdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../../../base/errors.ts";

/** Everything that makes up a store, its lock apart. */
const PARTS = ["belay.db", "belay.db-wal", "belay.db-shm", "logs"];

/**
 * Moves all that is in a data directory into a directory of its own in it, so that a tracker can begin there again and
 * nothing is lost.
 *
 * @returns where it is now
 */
export function setAside(directory: string): string {
  const aside = join(directory, `set-aside-${new Date().toISOString().replaceAll(":", "-")}`);
  mkdirSync(aside, { mode: 0o700 });
  for (const part of PARTS) {
    try {
      renameSync(join(directory, part), join(aside, part));
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
    }
  }
  return aside;
}
