import { isatty } from "node:tty";

/**
 * Remembers the terminals at which this program was started.
 *
 * @returns a function that reports whether one of them has gone since: its window was closed, or its connection was
 *   lost. Never true for a program without a terminal, such as one started by a supervisor or by nohup
 */
export function watchTerminal(): () => boolean {
  const terminals = [0, 1, 2].filter((descriptor) => isatty(descriptor));
  return () => terminals.some((descriptor) => !isatty(descriptor));
}
