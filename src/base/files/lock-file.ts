import { messageOf } from "../errors.ts";
import { makePrivate } from "./private-file.ts";

/**
 * Takes a lock for this process. It is a lock of the operating system, taken through SQLite: it ends with the process,
 * however that dies, and works across containers that share the directory. A file with a process id would stay after a
 * crash.
 *
 * @param path of a file that exists only for the lock; it is made, and stays
 * @returns a function that releases the lock; undefined: another process has the lock
 * @throws SQLite's error, if the file cannot be locked at all
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
