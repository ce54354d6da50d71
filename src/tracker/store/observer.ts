import type { CommandRecord } from "../../gen/belay/v1/job_pb.ts";

/** What a store reports of its work. Times are milliseconds. */
export interface StoreObserver {
  /** A write to a log has succeeded. `lag`: since its first byte was read from the job, by the agent's clock. */
  logWritten(bytes: number, took: number, lag: number): void;
  /** A transaction has succeeded, with this many changes. */
  committed(changes: number, took: number): void;
  /** Something could not be stored. */
  failed(): void;
  /** A stretch of a log cannot be read. */
  logDamaged(): void;
  commandStored(record: CommandRecord): void;
}
