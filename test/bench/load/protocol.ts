/** What the benchmark tells a process that plays agents. Each order is answered by a `Report` of the same `order`. */
export type Order =
  /** Open agents until there are so many. */
  | { readonly order: "connect"; readonly count: number }
  /** The first so many agents log at this rate, each, until the next order to log; 0 bytes a second: they stop. */
  | { readonly order: "log"; readonly agents: number; readonly bytesPerSecond: number }
  /** Forget what was measured so far. */
  | { readonly order: "reset" }
  /** Say what was measured. */
  | { readonly order: "measure" };

/** What a process that plays agents says. */
export type Report =
  | { readonly order: "connect" | "log" | "reset" }
  | ({ readonly order: "measure" } & Measured)
  /** A command has come. */
  | { readonly order: "command"; readonly jobId: string; readonly at: number };

/** What a process that plays agents has measured since the last reset. */
export interface Measured {
  /** Milliseconds from the write of each batch to its ack. */
  readonly lags: readonly number[];
  /** How late timers of this process were, milliseconds: of a measurement here, so much may be its own fault. */
  readonly loop: { readonly p50: number; readonly p99: number; readonly max: number };
  /** Processor seconds. */
  readonly cpu: number;
}

/** Milliseconds on a clock that all processes of a machine share, and that is never set. */
export function sharedClock(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}
