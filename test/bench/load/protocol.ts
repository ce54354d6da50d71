/** Orders to a process that simulates agents. Each is answered by a `Report` of the same `order`. */
export type Order =
  /** Open agents until there are `count`. */
  | { readonly order: "connect"; readonly count: number }
  /** Each of the first agents logs at this rate until the next order to log. 0 bytes a second: they stop. */
  | { readonly order: "log"; readonly agents: number; readonly bytesPerSecond: number }
  /** Discard the measurements so far. */
  | { readonly order: "reset" }
  /** Report the measurements. */
  | { readonly order: "measure" };

/** Messages of a process that simulates agents. */
export type Report =
  | { readonly order: "connect" | "log" | "reset" }
  | ({ readonly order: "measure" } & Measured)
  /** A command has arrived. */
  | { readonly order: "command"; readonly jobId: string; readonly at: number };

/** Measurements of a process that simulates agents, since the last reset. */
export interface Measured {
  /** Milliseconds from the write of each batch to its ack. */
  readonly lags: readonly number[];
  /** How late timers of this process were, in milliseconds: its measurements may be too long by as much. */
  readonly loop: { readonly p50: number; readonly p99: number; readonly max: number };
  /** Processor seconds. */
  readonly cpu: number;
}

/** Milliseconds on a clock that all processes of a machine share, and that is never set. */
export function sharedClock(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}
