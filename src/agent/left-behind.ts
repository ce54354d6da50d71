import { silentLogger } from "../base/logger.ts";
import { DEFAULTS } from "./defaults.ts";
import type { AgentOptions } from "./options.ts";

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
   * next.
   */
  deliverOwnPast(): Promise<void> {
    const { jobId, connectTimeout = DEFAULTS.connectTimeout, flushTimeout = DEFAULTS.flushTimeout } = this.options;
    return this.deliver({ nextAttemptOf: jobId, timeout: connectTimeout === 0 ? flushTimeout : connectTimeout });
  }

  /** Delivers what agents of other jobs left, until `stop`. */
  deliverOthers(): Promise<void> {
    return this.deliver({ timeout: this.options.flushTimeout ?? DEFAULTS.flushTimeout });
  }

  stop(): void {
    this.leaving.abort();
  }

  private async deliver(how: { nextAttemptOf?: string; timeout: number }): Promise<void> {
    const { options, leaving } = this;
    if (options.spoolDirectory === undefined) return;
    const { deliverLeftBehind } = await import("./flush.ts");
    await deliverLeftBehind({
      ...how,
      directory: options.spoolDirectory,
      except: this.sessionId,
      tracker: options.tracker,
      ...(options.security !== undefined && { security: options.security }),
      logger: options.logger ?? silentLogger,
      signal: options.stop === undefined ? leaving.signal : AbortSignal.any([leaving.signal, options.stop]),
    });
  }
}
