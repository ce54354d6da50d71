/** Removed from Node's public types; it closes the debugger's port if one is open. */
type ProcessWithDebugger = NodeJS.Process & { readonly _debugEnd?: () => void };

const CLOSE_ROUNDS = 5;
const CLOSE_INTERVAL_MS = 20;

/**
 * Keeps Node's debugger shut: through its port, every user of the machine could run code as this one. SIGUSR1 opens it in
 * each Node program that does not listen for that signal, and NODE_OPTIONS may ask for it. What was opened before the first
 * line of this program is closed; only a person who started Node itself with `--inspect` keeps it.
 */
export function keepDebuggerShut(): void {
  process.on("SIGUSR1", () => undefined);
  if (process.execArgv.some((argument) => /^--inspect(-brk|-wait)?(=|$)/.test(argument))) return;
  closeDebugger(CLOSE_ROUNDS);
}

/** A signal from just before the listener is acted on by another thread of Node's, when the event loop turns. */
function closeDebugger(rounds: number): void {
  (process as ProcessWithDebugger)._debugEnd?.();
  if (rounds > 0) setTimeout(() => closeDebugger(rounds - 1), CLOSE_INTERVAL_MS).unref();
}
