import fs from "node:fs";
import { dirname, isAbsolute } from "node:path";
import { errnoOf } from "../errors.ts";
import { textOfBytes } from "../text/system-text.ts";

/** The working directory, exactly (`textOfBytes`), or undefined when it was deleted. */
export function workingDirectory(): string | undefined {
  try {
    const path = process.cwd();
    // U+FFFD replaces bytes that are not UTF-8, but a path may also contain this character itself.
    return path.includes("\ufffd") && fs.existsSync("/proc/self/cwd")
      ? textOfBytes(fs.readlinkSync("/proc/self/cwd", "buffer"))
      : path;
  } catch {
    return undefined;
  }
}

/**
 * Makes a directory and the missing ones above it. Node's own recursive mkdir never returns if the path is relative and
 * the working directory was deleted, and reports ENOENT on a read-only file system.
 *
 * @throws the system's error
 */
export function makeDirectories(path: string, mode = 0o777): void {
  if (!isAbsolute(path) && workingDirectory() === undefined) throw new Error("the working directory was deleted");
  try {
    fs.mkdirSync(path, { mode });
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "EEXIST" && fs.statSync(path).isDirectory()) return;
    const parent = dirname(path);
    if (errno !== "ENOENT" || parent === path) throw error;
    makeDirectories(parent, mode);
    fs.mkdirSync(path, { mode });
  }
}

/**
 * Makes a private directory again, at the same path, if a job or a cleaner of temporary files has removed it.
 *
 * @throws the system's error, for example if another user has taken the name
 */
export function restoreDirectory(path: string, mode: number): void {
  const there = fs.lstatSync(path, { throwIfNoEntry: false });
  if (there?.isDirectory() === true && there.uid === process.getuid?.()) return;
  fs.mkdirSync(path, { mode });
  fs.chmodSync(path, mode);
}
