import { constants } from "node:os";
import type { BelayErrorCode } from "../../base/errors.ts";
import { BelayError } from "../../base/errors.ts";
import { signalNumber } from "../../base/process/signals.ts";
import type { JobResult } from "../../gen/belay/v1/job_pb.ts";
import { EndReason, Outcome, SpawnFailureKind } from "../../gen/belay/v1/job_pb.ts";

/** Everything was done. */
export const EXIT_OK = 0;
/** The check found problems. */
export const EXIT_PROBLEMS = 1;
/** The command line or a spec file cannot be used as given (EX_USAGE of sysexits.h). */
export const EXIT_USAGE = 64;
/** The attempt is over, and the job waits for its next one: launchers start the command again (EX_TEMPFAIL of sysexits.h). */
export const EXIT_AGAIN = 75;
/** The time limit passed; as of timeout(1). */
export const EXIT_TIMED_OUT = 124;
/** Belay itself could not do its part; as of timeout(1), docker run and GNU env. */
export const EXIT_BELAY = 125;
/** The command exists but could not be started. */
export const EXIT_NOT_EXECUTABLE = 126;
/** The command was not found. */
export const EXIT_NOT_FOUND = 127;
/** Added to a signal's number: this signal ended the command. */
const EXIT_SIGNAL = 128;

/** The table as the help of `run` and `wait` shows it. */
export const EXIT_CODES_HELP = `Exit codes:
  0         the job succeeded
  N         the job's own exit code, or that of the setup step that failed
  128 + n   signal n ended the job; 143 also if it was canceled and then exited with 0
  75        belay run only: this attempt is over and the job waits for its next one, or may not start yet;
            run it again
  124       the job's --timeout or --setup-timeout passed, or it was ended because it had stalled
  126, 127  the command could not be executed, was not found
  125       Belay itself failed; standard error says what and what to do
  64        bad usage`;

/** The exit code of `belay run` and `belay wait` when a job has ended. It depends on the result alone. */
export function exitCodeOfResult(result: JobResult): number {
  if (result.outcome === Outcome.SUCCEEDED) return EXIT_OK;
  switch (result.reason) {
    case EndReason.TIMED_OUT:
    case EndReason.STALLED:
      return EXIT_TIMED_OUT;
    case EndReason.SPAWN_FAILED:
      return spawnCode(result);
    case EndReason.SETUP_FAILED:
      return result.spawnFailure === undefined ? (ownCode(result) ?? EXIT_BELAY) : spawnCode(result);
    case EndReason.EXITED:
    case EndReason.SIGNALED:
      return ownCode(result) ?? EXIT_BELAY;
    case EndReason.OOM_KILLED:
      return ownCode(result) ?? EXIT_SIGNAL + constants.signals.SIGKILL;
    // The command may have ended with 0 as the stop signal asked, but for a script 0 would mean that the work was done.
    case EndReason.CANCELED:
    case EndReason.AGENT_STOPPED:
      return ownCode(result) ?? EXIT_SIGNAL + constants.signals.SIGTERM;
    default:
      return EXIT_BELAY;
  }
}

/** The exit code of a command that failed with an error. */
export function exitCodeOfError(error: unknown): number {
  if (!(error instanceof BelayError)) return EXIT_BELAY;
  if (error.code === "STOPPED") return EXIT_SIGNAL + constants.signals.SIGTERM;
  if (error.code === "JOB_WAITS") return EXIT_AGAIN;
  return USAGE.has(error.code) ? EXIT_USAGE : EXIT_BELAY;
}

const USAGE: ReadonlySet<BelayErrorCode> = new Set(["BAD_USAGE", "BAD_SPEC"]);

/** The exit code or signal of the process that decided the result, if it did not succeed. */
function ownCode(result: JobResult): number | undefined {
  if (result.signal !== "") return EXIT_SIGNAL + (signalNumber(result.signal) ?? 0);
  return result.exitCode === undefined || result.exitCode === 0 ? undefined : result.exitCode;
}

function spawnCode(result: JobResult): number {
  return result.spawnFailure?.kind === SpawnFailureKind.NOT_FOUND ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}
