/** What a process got from the one that started it, and Node changes before the program runs. */
export interface Inherited {
  /** The soft limit of open files, which Node raises to the hard one. Undefined: unlimited. */
  readonly openFiles: number | undefined;
  /** Signals from 1 to 31 as bits, the lowest for signal 1; Node sets them to their defaults. */
  readonly ignoredSignals: number;
  /** The same of those blocked; Node blocks none. */
  readonly blockedSignals: number;
}
