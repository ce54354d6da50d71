import { readKernelRecord } from "./proc.ts";

/** Bytes that were read from and written to storage; reads from a cache do not count. */
export interface ProcessIo {
  readonly read: number;
  /** Counted when a page is made dirty, not when it reaches the disk. */
  readonly written: number;
}

/**
 * Reads a file such as `/proc/PID/io` (proc_pid_io(5)).
 *
 * @returns undefined when the file is gone or may not be read: a process of another user, a set-user-id program
 */
export function readIo(file: string): ProcessIo | undefined {
  const text = readKernelRecord(file);
  if (text === undefined) return undefined;
  const read = valueOf(text, "\nread_bytes: ");
  const written = valueOf(text, "\nwrite_bytes: ");
  return read === undefined || written === undefined ? undefined : { read, written };
}

function valueOf(text: string, name: string): number | undefined {
  const at = text.indexOf(name);
  if (at < 0) return undefined;
  const value = Number.parseInt(text.slice(at + name.length, at + name.length + 20), 10);
  return Number.isNaN(value) ? undefined : value;
}
