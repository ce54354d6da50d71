import { constants } from "node:os";
import type { Io } from "./io.ts";

/**
 * Tells which signals this program was started with as ignored, as nohup does with SIGHUP, and as a shell does with SIGINT
 * and SIGQUIT for what a script starts in the background. Node has reset them before its program begins.
 */
export function ignoredSignals({ inherited, env }: Io): (signal: NodeJS.Signals) => boolean {
  if (inherited !== undefined) {
    return (signal) => (inherited.ignoredSignals & (1 << (constants.signals[signal] - 1))) !== 0;
  }
  // Started as a script of Node's: bash tells each program the path by which it was started (bash(1), the variable `_`).
  const byNohup = /(^|\/)nohup$/.test(env["_"] ?? "");
  return (signal) => byNohup && signal === "SIGHUP";
}
