import fs from "node:fs";

/**
 * Everybody may append, and only its owner read. That is for a job that gives up root; who does not know the file's
 * name cannot find it.
 */
const MODE = 0o622;

/** Makes the file. @throws what the file system says, among it that something is there */
export function createMetricsFile(path: string): number {
  const { O_RDONLY, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK } = fs.constants;
  const fd = fs.openSync(path, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_NONBLOCK, MODE);
  // The umask may have taken something away.
  fs.fchmodSync(fd, MODE);
  return fd;
}

/**
 * Opens the file if it is one: whatever else is at the path is not touched, since opening may do something by itself.
 *
 * @returns undefined if nothing is there
 * @throws when something else is, or it may not be read
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
