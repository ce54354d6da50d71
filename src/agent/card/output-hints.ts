import type { Evidence, Hint } from "./evidence.ts";

/** Lines after the exception with which a traceback ends: of a message with several lines, or of a launcher. */
const MOST_AFTER_TRACEBACK = 3;

/** A full disk. */
export const diskHint: Hint = (evidence) => {
  const full = evidence.lineWith(/No space left on device|\bENOSPC\b/);
  if (full !== undefined) return `A file system had no space left: ${evidence.quote(full)}`;
  const quota = evidence.lineWith(/Disk quota exceeded|\bEDQUOT\b/);
  return quota === undefined ? undefined : `A quota of disk space was used up: ${evidence.quote(quota)}`;
};

/** A graphics processor without memory. */
export const gpuMemoryHint: Hint = (evidence) => {
  const line = evidence.lineWith(/CUDA out of memory|CUDA error: out of memory|CUDA_ERROR_OUT_OF_MEMORY/);
  if (line === undefined) return undefined;
  return `The graphics processor had no memory left: use a smaller batch or model, or a device with more: ${evidence.quote(line)}`;
};

/** An exception of Python that nothing caught. */
export const pythonHint: Hint = (evidence) => {
  const { lines } = evidence;
  const frame = lines.findLastIndex((line) => /^\s+File ".+", line \d+/.test(line));
  const after = lines.slice(frame + 1).findIndex((line) => /^[^\s|+]/.test(line));
  const at = frame + 1 + after;
  const exception = lines[at] ?? "";
  if (frame < 0 || after < 0 || lines.length - at - 1 > MOST_AFTER_TRACEBACK) return undefined;
  if (!/^[A-Za-z_][\w.]*(: |$)/.test(exception)) return undefined;
  const advice = exception.startsWith("ModuleNotFoundError: ") ? "; install it for the Python that the job runs" : "";
  return `Python raised ${evidence.shorten(exception)}${advice}`;
};

/** A shell that could not run a command. */
export const shellHint: Hint = (evidence) => {
  const { shellCode } = evidence;
  if (shellCode === 127) {
    const line = evidence.lineWith(/not found|No such file or directory/) ?? "";
    const name =
      /command not found: (.+)$/.exec(line)?.[1] ??
      /([^\s:]+): (?:(?:command )?not found|No such file or directory)$/.exec(line)?.[1];
    const what = name === undefined ? "a command" : evidence.quote(name);
    return `The shell did not find ${what}: install it on the machine of the agent, or check the path and PATH`;
  }
  if (shellCode !== 126) return undefined;
  return "The shell found a command that it could not execute: check its permissions, and that it is a program for this machine";
};

/** A failure that printed nothing. */
export const silenceHint: Hint = (evidence) => {
  const { result, lines, isSetup } = evidence;
  if (lines.length > 0 || result.exitCode === undefined || result.exitCode === 0) return undefined;
  const who = isSetup ? setupStep(evidence) : "The command";
  return `${who} printed nothing: options for more output, such as --verbose, or set -x in a script, may show why`;
};

/** A setup step that failed. */
export const setupHint: Hint = (evidence) =>
  evidence.isSetup ? `${setupStep(evidence)} failed, so the main command was not run` : undefined;

function setupStep(evidence: Evidence): string {
  return `Setup step ${evidence.result.step} ${evidence.quote(evidence.stepName)}`;
}
