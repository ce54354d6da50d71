import fs from "node:fs";

/**
 * Removes a file or a directory with all that is in it, as far as that can be done: what others have made of a
 * temporary directory (a link to itself, say) is not to be the failure of whoever cleans up.
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
