import fs from "node:fs";
import { dirname } from "node:path";
import { restoreDirectory } from "../../base/files/directories.ts";

/**
 * Any user may append, and only the owner may read: a job may give up root. A process that does not know the file's
 * name cannot find it.
 */
const MODE = 0o622;
/** Of the job's directory: any user may pass through, and only the owner may list it. */
const DIRECTORY_MODE = 0o711;

/** Makes the file, and its directory if that was removed. @throws the file system's error, also if the path exists */
export function createMetricsFile(path: string): number {
  restoreDirectory(dirname(path), DIRECTORY_MODE);
  const { O_RDONLY, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
  const fd = fs.openSync(path, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_NONBLOCK, MODE);
  // The umask may have removed permissions.
  fs.fchmodSync(fd, MODE);
  return fd;
}

/**
 * Opens the file if it is a regular one. Anything else at the path is not opened: opening may have side effects.
 *
 * @returns undefined if there is nothing at the path
 * @throws if there is something else, or the file may not be read
 */
export function openMetricsFile(path: string): number | undefined {
  const there = fs.lstatSync(path, { throwIfNoEntry: false });
  if (there === undefined) return undefined;
  if (!there.isFile()) throw new Error(`it is ${kindOf(there)}`);
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
  const fd = fs.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (fs.fstatSync(fd).isFile()) return fd;
  fs.closeSync(fd);
  throw new Error("it was replaced");
}

function kindOf(stat: fs.Stats): string {
  if (stat.isDirectory()) return "a directory";
  if (stat.isSymbolicLink()) return "a symbolic link";
  if (stat.isFIFO()) return "a named pipe";
  if (stat.isSocket()) return "a socket";
  return "a device";
}
