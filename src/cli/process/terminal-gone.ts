import { isatty } from "node:tty";

/**
 * Remembers the terminals that this program is started at.
 *
 * @returns a function that reports whether one of them has gone since: its window was closed, its connection was lost. Never true for a
 *   program that has none, such as a supervisor's or nohup's
 */
export function watchTerminal(): () => boolean {
  const terminals = [0, 1, 2].filter((descriptor) => isatty(descriptor));
  return () => terminals.some((descriptor) => !isatty(descriptor));
}
