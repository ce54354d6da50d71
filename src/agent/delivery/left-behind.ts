import { BelayError } from "../../base/errors.ts";
import { silentLogger } from "../../base/logger.ts";
import { endState } from "../../contract/states.ts";
import { DEFAULTS } from "../defaults.ts";
import type { FlushedSession } from "./flush.ts";
import type { AgentOptions, AgentOutcome } from "../options.ts";

/** Delivers what dead agents left in our spool directory. */
export class LeftBehind {
  private readonly options: AgentOptions;
  private readonly sessionId: string;
  private readonly leaving = new AbortController();

  /** @param sessionId our own, whose spool is skipped */
  constructor(options: AgentOptions, sessionId: string) {
    this.options = options;
    this.sessionId = sessionId;
  }

  /**
   * Delivers what a dead agent of the same job left, before anything else: its attempt is over then, and ours is the
   * next, unless the job has ended with that one.
   *
   * @returns how the job had ended. Undefined: it has not, as far as is known
   * @throws BelayError `TRACKER_UNREACHABLE` when the result of a job that ended cannot be delivered: it must not run again
   */
  async deliverOwnPast(): Promise<AgentOutcome | undefined> {
    const { jobId, connectTimeout = DEFAULTS.connectTimeout, flushTimeout = DEFAULTS.flushTimeout } = this.options;
    const timeout = connectTimeout === 0 ? flushTimeout : connectTimeout;
    const own = await this.deliver({ nextAttemptOf: jobId, timeout });
    const last = own.filter(({ inUse, refused }) => !inUse && refused !== true).at(-1);
    if (last === undefined || last.agentLost) return undefined;
    const { attempt, path, result, delivered, message, jobState } = last;
    if (!delivered) {
      // A spool that cannot be read has no attempt.
      if (attempt === 0 || this.options.stop?.aborted === true) return undefined;
      const what = `how attempt ${attempt} of job "${jobId}" ended, which "${path}" holds`;
      throw new BelayError("TRACKER_UNREACHABLE", `Cannot deliver ${what}: ${message}`);
    }
    if (result === undefined) return undefined;
    // A job that was LOST for too long has not ended with this result: our own Hello is answered with how it did.
    if (jobState !== undefined && jobState !== endState(result.outcome)) return undefined;
    return { attempt, result, delivered, undelivered: message, lostBytes: 0, endedBefore: true };
  }

  /** Delivers what agents of other jobs left, until `stop`. */
  async deliverOthers(): Promise<void> {
    await this.deliver({ timeout: this.options.flushTimeout ?? DEFAULTS.flushTimeout });
  }

  stop(): void {
    this.leaving.abort();
  }

  private async deliver(how: { nextAttemptOf?: string; timeout: number }): Promise<readonly FlushedSession[]> {
    const { options, leaving } = this;
    if (options.spoolDirectory === undefined) return [];
    const { deliverLeftBehind } = await import("./flush.ts");
    const leave = (): void => leaving.abort();
    options.stop?.addEventListener("abort", leave, { once: true });
    if (options.stop?.aborted === true) leave();
    try {
      return await deliverLeftBehind({
        ...how,
        directory: options.spoolDirectory,
        except: this.sessionId,
        tracker: options.tracker,
        ...(options.security !== undefined && { security: options.security }),
        logger: options.logger ?? silentLogger,
        signal: leaving.signal,
      });
    } finally {
      options.stop?.removeEventListener("abort", leave);
    }
  }
}
