import type { LogSums } from "./log-sums.ts";

/** The two lanes, as the spool calls them. */
export type LaneName = "events" | "logs";

/** Both lanes, for loops. Events first: they are sent first. */
export const LANES: readonly LaneName[] = ["events", "logs"];

/** What a spool could learn from a record only by decoding it. */
export interface RecordFacts {
  /** Of a batch of logs: sums of all that was produced, up to the end of this batch. */
  readonly produced?: LogSums;
  /** Of an event: it is the job's result. */
  readonly result?: boolean;
}

/**
 * Holds encoded records from when they are made until the tracker has committed them.
 *
 * Its law: every record pushed is handed out by `read` as often as asked, in order and unchanged, from its push until
 * its ack, unless it is counted as dropped. What it holds is bounded in bytes. When the bound is reached, either `full` is
 * true until enough is acked, and the output waits for `onRoom`; or the oldest logs that were never read are dropped, and
 * records with the same sequences say what is missing. Events are small and always accepted.
 *
 * Sequences are those of the contract: from 1, by 1, each lane its own.
 */
export interface Spool {
  /** Sequence that the next record of a lane gets; it is part of the record's encoding. */
  nextSequence(lane: LaneName): number;
  /** Adds an encoded record with the lane's next sequence. */
  push(lane: LaneName, frame: Buffer, facts?: RecordFacts): void;
  /**
   * Keeps the known chunks of the batch of logs that will be pushed next: they survive a kill of the agent from now on.
   * Later calls have the same bytes and more.
   */
  stage(body: Buffer): void;
  /** Whether `stage` does anything. */
  readonly stages: boolean;
  /** The record with this sequence. A promise if it must be fetched from disk; undefined if it is not there (yet). */
  read(lane: LaneName, sequence: number): Buffer | Promise<Buffer> | undefined;
  /** Forgets all records up to this sequence. Never goes back; a sequence not pushed yet is taken as the last one. */
  ack(lane: LaneName, sequence: number): void;
  /** Sequence up to which a lane has been acked. */
  committed(lane: LaneName): number;
  /** Sequence of the oldest record held. 0: none. */
  lowestHeld(lane: LaneName): number;
  /** Sums of what was produced, less what was dropped, from those of what was produced. */
  kept(produced: LogSums): LogSums;
  /** Notes the attempt that the tracker has given, for a process that finds the spool later. */
  admitted(attempt: number): void;
  /** Whether its bound is reached. */
  readonly full: boolean;
  readonly memoryBytes: number;
  readonly diskBytes: number;
  /** The part of `memoryBytes` that is not on disk as well: it is lost with this process. */
  readonly unkeptBytes: number;
  /** Called when there is a record to send. */
  onPush: () => void;
  /** Called with every ack: `full` may have become false. */
  onRoom: () => void;
  /** Releases everything. Records on disk that are not committed stay there. */
  close(): Promise<void>;
}
