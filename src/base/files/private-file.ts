import { chmodSync, closeSync, constants, openSync } from "node:fs";
import { errnoOf } from "../errors.ts";

/** Only the user may read and write the file, whatever the umask and the directory allow. */
const FILE_MODE = 0o600;

/**
 * Makes a file that other users cannot read, or removes their permissions from an existing one. For files that a
 * library such as SQLite opens, which would make them readable for all users.
 *
 * An existing file is not opened: closing it would release the locks that this process holds on it (fcntl(2)).
 */
export function makePrivate(path: string): void {
  try {
    closeSync(openSync(path, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, FILE_MODE));
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw error;
  }
  closeToOthers(path, FILE_MODE);
}

/** Sets a mode, where the file system has modes and the file is this user's: elsewhere it stays as it is. */
export function closeToOthers(path: string, mode: number): void {
  try {
    chmodSync(path, mode);
  } catch (error) {
    if (!["EPERM", "EROFS", "ENOTSUP", "ENOSYS"].includes(errnoOf(error) ?? "")) throw error;
  }
}
