/** Adds `_debugEnd`, which is not in Node's public types. It closes the debugger's port if one is open. */
type ProcessWithDebugger = NodeJS.Process & { readonly _debugEnd?: () => void };

const CLOSE_ROUNDS = 5;
const CLOSE_INTERVAL_MS = 20;

/**
 * Keeps Node's debugger closed: through its port, every user of the machine could run code as this user. SIGUSR1 opens
 * it in each Node program that does not listen for that signal, and NODE_OPTIONS may request it. A debugger that was
 * opened before the first line of this program is closed, unless Node itself was started with `--inspect`.
 */
export function keepDebuggerShut(): void {
  process.on("SIGUSR1", () => undefined);
  if (process.execArgv.some((argument) => /^--inspect(-brk|-wait)?(=|$)/.test(argument))) return;
  closeDebugger(CLOSE_ROUNDS);
}

/** Closes the debugger repeatedly: another thread of Node may handle an earlier signal in later turns of the loop. */
function closeDebugger(rounds: number): void {
  (process as ProcessWithDebugger)._debugEnd?.();
  if (rounds > 0) setTimeout(() => closeDebugger(rounds - 1), CLOSE_INTERVAL_MS).unref();
}
