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

/** Flags of Node that start a profiler of V8, which samples by SIGPROF. */
const PROFILERS = /(^|[\s"])--(cpu[-_])?prof($|[\s"=])/;

/**
 * Listens for the warnings, which keeps them from ending this program. SIGPROF is left to V8's profiler where one runs:
 * once a listener is removed, its next sample would end this program.
 *
 * @param isIgnored whether this program inherited a signal as ignored: it stays ignored then
 * @returns stops listening
 */
export function takeWarningSignals(
  onWarning: (signal: NodeJS.Signals) => void,
  isIgnored?: (signal: NodeJS.Signals) => boolean,
): () => void {
  const listener = (signal: NodeJS.Signals): void => {
    if (isIgnored?.(signal) !== true) onWarning(signal);
  };
  const signals = isProfiled() ? WARNING_SIGNALS.filter((signal) => signal !== "SIGPROF") : WARNING_SIGNALS;
  for (const signal of signals) process.on(signal, listener);
  return () => {
    for (const signal of signals) process.off(signal, listener);
  };
}

/** What `launch.sh` keeps from Node is not in this process's own environment: the variable is one that Node has obeyed. */
function isProfiled(): boolean {
  return PROFILERS.test([...process.execArgv, process.env["NODE_OPTIONS"] ?? ""].join(" "));
}
