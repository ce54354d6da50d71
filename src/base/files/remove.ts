import fs from "node:fs";

/**
 * Removes a file, or a directory with everything in it, as far as possible. Never throws: what other processes have
 * made of a temporary directory (such as a link to itself) must not fail the cleanup.
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
