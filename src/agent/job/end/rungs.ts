/** When the signals of an end are sent, in milliseconds after the order. SIGKILL never comes before the stop signal. */
export interface Rungs {
  /** The stop signal. More than 0: the warning is sent at once, unless the job has been warned already. */
  readonly stop: number;
  /** SIGKILL. 0: at once, without any other signal before it. */
  readonly kill: number;
}

/** What the times of an end depend on, in milliseconds. */
export interface RungOptions {
  /** The order's own bound of the whole end. Undefined: it has none. */
  readonly bound: number | undefined;
  /** The time between stop signal and SIGKILL that the spec grants. */
  readonly grace: number;
  /** The time between warning and stop signal that the job may still have. 0: no warning, or its time is over. */
  readonly warning: number;
}

/**
 * Plans an end. A bound that is shorter than the spec's times is taken from the warning first; a longer one lengthens
 * the grace period.
 */
export function planRungs({ bound, grace, warning }: RungOptions): Rungs {
  if (bound === undefined) return { stop: warning, kill: warning + grace };
  return { stop: Math.min(warning, Math.max(0, bound - grace)), kill: bound };
}
