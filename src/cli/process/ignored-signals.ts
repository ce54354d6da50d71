import { constants } from "node:os";
import type { Io } from "./io.ts";

/**
 * Finds out which signals this program inherited as ignored: nohup does so with SIGHUP, and a shell with SIGINT and
 * SIGQUIT for programs that a script starts in the background. Node resets them before its program begins.
 */
export function ignoredSignals({ inherited, env }: Io): (signal: NodeJS.Signals) => boolean {
  if (inherited !== undefined) {
    return (signal) => (inherited.ignoredSignals & (1 << (constants.signals[signal] - 1))) !== 0;
  }
  // Started as a script of Node, without `launch.sh`: bash gives each program its path in the variable `_` (bash(1)).
  const byNohup = /(^|\/)nohup$/.test(env["_"] ?? "");
  return (signal) => byNohup && signal === "SIGHUP";
}
