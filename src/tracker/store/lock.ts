import { join } from "node:path";
import { BelayError, messageOf } from "../../base/errors.ts";
import { lockFile } from "../../base/files/lock-file.ts";

/**
 * Locks a data directory for this process: see lockFile.
 *
 * @returns a function that unlocks it
 * @throws BelayError `STORE` if another tracker has it
 */
export function lockDirectory(directory: string): () => void {
  let release: (() => void) | undefined;
  try {
    release = lockFile(join(directory, "lock"));
  } catch (error) {
    const message = `Cannot lock the data directory "${directory}": ${messageOf(error)}`;
    throw new BelayError("STORE", message, { cause: error });
  }
  if (release !== undefined) return release;
  throw new BelayError("STORE", `Cannot use the data directory "${directory}": another tracker is using it`);
}
