/** Settings that a process inherits from its parent, and that Node changes before the program runs. */
export interface Inherited {
  /** The soft limit of open files, which Node raises to the hard one. Undefined: unlimited. */
  readonly openFiles: number | undefined;
  /** Ignored signals from 1 to 31 as bits, the lowest for signal 1; Node sets them to their defaults. */
  readonly ignoredSignals: number;
  /** Blocked signals in the same form; Node blocks none. */
  readonly blockedSignals: number;
}
