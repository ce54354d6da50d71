import type { ExitStatus } from "../start/spawn.ts";

/**
 * How long after the end of a step's process a stop of the agent may still be its cause, in milliseconds. Batch systems
 * and service managers signal every process of a job and its agent, one after the other, so the job may end "by itself"
 * before the agent's own signal is sent. Measured on 2 processors: at most 5 ms before, and 115 ms with four processes
 * that compute beside it.
 */
export interface StopWindow {
  /** The most, and after each end that is no success: it may well be that of a handler of the signal. */
  readonly most: number;
  /** After exit code 0: as a share of the time for which the process has run, so that a short job is hardly delayed. */
  readonly shareOfRun: number;
}

export const STOP_WINDOW: StopWindow = { most: 200, shareOfRun: 0.1 };

/**
 * How long the result of a process waits for a stop of the agent.
 *
 * @param ran for how many milliseconds the process has run
 */
export function stopWait({ code }: Pick<ExitStatus, "code">, ran: number, window: StopWindow): number {
  return code === 0 ? Math.min(window.most, ran * window.shareOfRun) : window.most;
}
