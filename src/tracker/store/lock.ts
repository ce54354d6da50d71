import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { BelayError, messageOf } from "../../base/errors.ts";
import { makePrivate } from "../../base/private-file.ts";

/**
 * Takes a data directory for this process. The lock is the operating system's, by way of SQLite, so it goes with the
 * process, however that dies; a file that names a process id would stay.
 *
 * @returns gives it back
 * @throws BelayError `STORE` if another tracker has it
 */
export function lockDirectory(directory: string): () => void {
  const path = join(directory, "lock");
  let lock: DatabaseSync | undefined;
  try {
    makePrivate(path);
    lock = new DatabaseSync(path, { timeout: 0 });
    lock.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
  } catch (error) {
    lock?.close();
    const message = /locked/i.test(messageOf(error))
      ? `Cannot use the data directory "${directory}": another tracker is using it`
      : `Cannot lock the data directory "${directory}": ${messageOf(error)}`;
    throw new BelayError("STORE", message, { cause: error });
  }
  const held = lock;
  return () => held.close();
}
