import fs from "node:fs";

/**
 * Removes a file, or a directory with everything in it, as far as possible. Never throws: a cleanup must not fail
 * because other processes have changed the temporary directory (for example into a link to itself).
 *
 * @returns whether nothing is left
 */
export function removeAll(path: string): boolean {
  try {
    fs.rmSync(path, { recursive: true, force: true });
    return true;
  } catch {
    return false;
  }
}
