import { join } from "node:path";
import { BelayError, messageOf } from "../../../base/errors.ts";
import { lockFile } from "../../../base/files/lock-file.ts";

/** Name of the file that is locked. */
export const LOCK_NAME = "lock";

/**
 * Locks a spool's directory for this process: see lockFile.
 *
 * @returns a function that releases the lock; undefined: another process has it
 * @throws BelayError `SPOOL` if it cannot be locked at all
 */
export function lockSpool(directory: string): (() => void) | undefined {
  try {
    return lockFile(join(directory, LOCK_NAME));
  } catch (error) {
    throw new BelayError("SPOOL", `Cannot lock the spool "${directory}": ${messageOf(error)}`, { cause: error });
  }
}
