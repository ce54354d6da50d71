import { join } from "node:path";
import { BelayError, messageOf } from "../../../base/errors.ts";
import { makePrivate } from "../../../base/private-file.ts";

/**
 * Takes a spool's directory for this process. The lock is the operating system's, by way of SQLite, so it goes with the
 * process, however that dies, and holds across containers that share the directory.
 *
 * @returns gives it back; undefined: another process has it
 * @throws BelayError `SPOOL` if it cannot be told
 */
export function lockSpool(directory: string): (() => void) | undefined {
  // Loaded here: most agents have no spool directory, and every millisecond of their start counts.
  const { DatabaseSync } = process.getBuiltinModule("node:sqlite");
  let lock: InstanceType<typeof DatabaseSync> | undefined;
  try {
    const path = join(directory, "lock");
    makePrivate(path);
    lock = new DatabaseSync(path, { timeout: 0 });
    lock.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
  } catch (error) {
    lock?.close();
    if (/locked/i.test(messageOf(error))) return undefined;
    throw new BelayError("SPOOL", `Cannot lock the spool "${directory}": ${messageOf(error)}`, { cause: error });
  }
  const held = lock;
  return () => held.close();
}
