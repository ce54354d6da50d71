import type { LogSums } from "./log-sums.ts";

/** The two lanes, as the spool calls them. */
export type LaneName = "events" | "logs";

/** Both lanes, for loops. Events first: they are sent first. */
export const LANES: readonly LaneName[] = ["events", "logs"];

/** What a spool cannot read off a record without decoding it. */
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
 * its ack, unless it is counted as dropped. What it holds is bounded in bytes; when the bound is reached either `full`
 * is true until enough is acked, and whoever pushes logs waits (`onRoom`); or the oldest logs that were never read are
 * dropped: records with the same sequences stand for them, which say what is missing. Events are small and always
 * accepted.
 *
 * Sequences are those of the contract: from 1, by 1, each lane its own.
 */
export interface Spool {
  /** Sequence that the next record of a lane gets; it is part of the record's encoding. */
  nextSequence(lane: LaneName): number;
  /** Takes an encoded record with the lane's next sequence. */
  push(lane: LaneName, frame: Buffer, facts?: RecordFacts): void;
  /**
   * Shows it the chunks of the batch of logs that will be pushed next, as far as they are known: what survives a kill
   * of the agent now includes them. Later calls show the same bytes and more.
   */
  stage(body: Buffer): void;
  /** Whether it does anything with what it is shown. */
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
  /** Notes the attempt that the tracker has given, for whoever finds the spool later. */
  admitted(attempt: number): void;
  /** Whether its bound is reached. */
  readonly full: boolean;
  readonly memoryBytes: number;
  readonly diskBytes: number;
  /** The part of `memoryBytes` that is not on disk as well: it goes with this process. */
  readonly unkeptBytes: number;
  /** Told when a record is there to be sent. */
  onPush: () => void;
  /** Told when `full` has become false, and with every ack. */
  onRoom: () => void;
  /** Lets go of everything. What is on disk and not committed stays there. */
  close(): Promise<void>;
}
