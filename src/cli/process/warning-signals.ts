/**
 * Signals with which batch systems announce a limit or a change, and other signals that by default end a program but
 * mean neither "stop" nor a fault of the program. SIGXFSZ and SIGPIPE are not among them: Node ignores both.
 */
const WARNING_SIGNALS: readonly NodeJS.Signals[] = [
  "SIGUSR1",
  "SIGUSR2",
  "SIGALRM",
  "SIGVTALRM",
  "SIGPROF",
  "SIGXCPU",
  "SIGURG",
  "SIGIO",
  "SIGPWR",
  "SIGSTKFLT",
];

/**
 * Listens for the warnings, which keeps them from ending this program.
 *
 * @param isIgnored whether this program inherited a signal as ignored: it stays ignored then
 * @returns stops listening
 */
export function takeWarningSignals(
  take: (signal: NodeJS.Signals) => void,
  isIgnored?: (signal: NodeJS.Signals) => boolean,
): () => void {
  const listener = (signal: NodeJS.Signals): void => {
    if (isIgnored?.(signal) !== true) take(signal);
  };
  for (const signal of WARNING_SIGNALS) process.on(signal, listener);
  return () => {
    for (const signal of WARNING_SIGNALS) process.off(signal, listener);
  };
}
