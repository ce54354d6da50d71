import { callback, checkOptions, type Rules } from "../../base/options.ts";
import { guardCallbacks, CallbackFailures } from "../callback-error.ts";
import { compileOptions } from "../compile-options.ts";
import type { AgentOptions, AttemptsOptions, AttemptsOutcome } from "../options.ts";
import { OwnPages } from "../own-pages.ts";
import { runAttempt } from "../run.ts";
import { mustEndJob } from "../stop.ts";
import { SESSION_TIMING, type SessionTiming } from "../session/session-timing.ts";

const OWN_RULES: Rules<Pick<AttemptsOptions, "onAttempt">> = { onAttempt: callback };

/**
 * Runs a job under an agent as `runAgent` does, and goes on with the job's next attempt, in a session of its own, for as
 * long as its retry policy has one follow. It ends when the job has ended, when the agent must stop, or when an attempt
 * cannot be delivered.
 *
 * A job that is canceled while it waits for its next attempt ends this with a result CANCELED that no step has a part in.
 *
 * @throws BelayError as `runAgent` does
 * @throws CallbackError when all is over, with the outcome: a function of the options has failed
 */
export function runAttempts(options: AttemptsOptions): Promise<AttemptsOutcome> {
  return runAttemptsTimed(options, SESSION_TIMING);
}

/** The same for tests that would otherwise wait for a session's constants; not part of the package's interface. */
export async function runAttemptsTimed(given: AttemptsOptions, timing: SessionTiming): Promise<AttemptsOutcome> {
  const { onAttempt } = checkOptions("runAttempts", given, OWN_RULES);
  const failures = new CallbackFailures();
  const options = guardCallbacks(compileOptions(given, "runAttempts"), failures.callbacks);
  const ended = onAttempt === undefined ? undefined : failures.callbacks.guard("onAttempt", onAttempt);
  const setting = { options, failures, timing, pages: new OwnPages() };
  try {
    let outcome: AttemptsOutcome = await runAttempt(setting);
    while (goesOn(outcome, options)) {
      if (options.stop?.aborted !== true) void ended?.(outcome);
      const { runNextAttempt } = await import("./run-next-attempt.ts");
      outcome = await runNextAttempt(outcome, setting);
    }
    failures.throwFirst(outcome);
    return outcome;
  } finally {
    await setting.pages.close();
  }
}

/** An ordered stop that came when the attempt was over already must end the job, which takes the next attempt, too. */
function goesOn({ next, delivered, notContinued }: AttemptsOutcome, options: AgentOptions): boolean {
  if (next === undefined || !delivered || notContinued !== undefined) return false;
  return options.stop?.aborted !== true || mustEndJob(options);
}
