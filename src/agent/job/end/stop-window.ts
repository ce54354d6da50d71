import type { ExitStatus } from "../start/spawn.ts";

/**
 * How long after the end of a step's process a stop of the agent may still be its cause, in milliseconds. Batch systems
 * and service managers signal every process of a job and its agent, one after the other, so the job may end "by itself"
 * before the agent's own signal is sent. Measured on 2 processors: at most 5 ms before, and 115 ms with four processes
 * that compute beside it.
 */
export interface StopWindow {
  /** After an end that is no success, which may well be that of a handler of the signal. */
  readonly failed: number;
  /** After exit code 0: as a share of the time for which the process has run, so that every end is hardly later. */
  readonly succeededShare: number;
  /** At least after exit code 0; the most is `failed`. */
  readonly succeeded: number;
}

export const STOP_WINDOW: StopWindow = { failed: 200, succeededShare: 0.05, succeeded: 20 };

/**
 * How long the result of a process waits for a stop of the agent.
 *
 * @param ran for how many milliseconds the process has run
 */
export function stopWait({ code }: Pick<ExitStatus, "code">, ran: number, window: StopWindow): number {
  if (code !== 0) return window.failed;
  return Math.min(window.failed, Math.max(window.succeeded, ran * window.succeededShare));
}
