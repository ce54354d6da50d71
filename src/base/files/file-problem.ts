import { errnoOf, messageOf } from "../errors.ts";

const TEXTS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  ENOTDIR: "part of its path is not a directory",
  EISDIR: "it is a directory",
  EACCES: "permission denied",
  EPERM: "permission denied",
  EROFS: "the file system is read-only",
  ENOSPC: "no space is left on the device",
  EDQUOT: "the disk quota is used up",
  ENXIO: "it is a socket, or a device that does not exist",
  ELOOP: "too many symbolic links",
  ENAMETOOLONG: "its name is too long",
  EMFILE: "this process may not open more files (ulimit -n)",
  ENFILE: "the machine cannot open more files",
};

/**
 * The call that the system refused, if that caused an error: such an error is not a bug in the program. Undefined: the
 * error has another cause.
 */
export function systemProblem(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("syscall" in error)) return undefined;
  if (error.syscall === "uv_cwd") return "the working directory was deleted; change to another one";
  const where = "path" in error ? ` "${String(error.path)}"` : "";
  return `${fileProblem(error)} (${errnoOf(error)}, ${String(error.syscall)}${where})`;
}

/** Why a file could not be read or written, as a clause: the system's error in words instead of libuv's name. */
export function fileProblem(error: unknown): string {
  return TEXTS[errnoOf(error) ?? ""] ?? messageOf(error);
}
