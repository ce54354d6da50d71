import fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BelayError, messageOf } from "../../../base/errors.ts";

/**
 * Everybody may pass through, since a job that gives up root still writes into a file in it; nobody else may list it.
 * What is not for everybody is in a directory of its own, or has a name that cannot be guessed.
 */
const MODE = 0o711;

/**
 * Makes a directory for what is there only while a job runs.
 *
 * @throws BelayError `BAD_USAGE` when there is no place for one
 */
export function makeJobDirectory(): string {
  const places = [tmpdir(), "/dev/shm", "/run"];
  const problems: string[] = [];
  for (const place of places) {
    try {
      const directory = fs.mkdtempSync(join(place, "belay-"));
      fs.chmodSync(directory, MODE);
      return directory;
    } catch (error) {
      problems.push(messageOf(error));
    }
  }
  throw new BelayError(
    "BAD_USAGE",
    `Cannot make a temporary directory: expected one of ${places.map((place) => `"${place}"`).join(", ")} to be writable: ${problems.join("; ")}`,
  );
}
