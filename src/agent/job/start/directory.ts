import fs from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { BelayError } from "../../../base/errors.ts";
import { fileProblem } from "../../../base/files/file-problem.ts";

/**
 * Every user may pass through, since a job that gives up root still writes into a file in it; only the owner may list it.
 * Files that other users must not open are in a directory of their own, or have a name that cannot be guessed.
 */
export const JOB_DIRECTORY_MODE = 0o711;

/**
 * Makes a directory for files that exist only while a job runs.
 *
 * @throws BelayError `BAD_USAGE` when no place for it can be written to
 */
export function makeJobDirectory(): string {
  const places = [tmpdir(), "/dev/shm", "/run"];
  const problems: string[] = [];
  for (const place of places) {
    try {
      // Absolute, whatever TMPDIR says: the job and the watcher use it from other directories.
      const directory = fs.mkdtempSync(join(resolve(place), "belay-"));
      fs.chmodSync(directory, JOB_DIRECTORY_MODE);
      return directory;
    } catch (error) {
      problems.push(`"${place}": ${fileProblem(error)}`);
    }
  }
  throw new BelayError(
    "BAD_USAGE",
    `Cannot make a temporary directory: expected a place for one, found ${problems.join("; ")}`,
  );
}
