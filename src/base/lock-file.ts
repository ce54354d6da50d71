import { messageOf } from "./errors.ts";
import { makePrivate } from "./private-file.ts";

/**
 * Takes a lock for this process. The lock is the operating system's, by way of SQLite, so it goes with the process,
 * however that dies, and holds across containers that share the directory; a file that names a process id would stay.
 *
 * @param path of a file that exists for the lock alone; it is made, and stays
 * @returns releases the lock; undefined: another process has it
 * @throws what SQLite says, when the file cannot be locked at all
 */
export function lockFile(path: string): (() => void) | undefined {
  // Loaded here: most agents lock nothing, and every millisecond of their start counts.
  const { DatabaseSync } = process.getBuiltinModule("node:sqlite");
  let lock: InstanceType<typeof DatabaseSync> | undefined;
  try {
    makePrivate(path);
    lock = new DatabaseSync(path, { timeout: 0 });
    lock.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
  } catch (error) {
    lock?.close();
    if (/locked/i.test(messageOf(error))) return undefined;
    throw error;
  }
  const held = lock;
  return () => held.close();
}
