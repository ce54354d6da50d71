/** The two lanes, as the spool calls them. */
export type LaneName = "events" | "logs";

/** Both lanes, for loops. Events first: they are sent first. */
export const LANES: readonly LaneName[] = ["events", "logs"];

/**
 * Holds encoded records from when they are made until the tracker has committed them.
 *
 * Its law: every record pushed is handed out by `read` as often as asked, in order and unchanged, from its push until
 * its ack, unless it is counted as dropped. What it holds is bounded in bytes; when the bound is reached `full` is true
 * until enough is acked, and whoever pushes logs waits (`onRoom`). Events are small and always accepted.
 *
 * Sequences are those of the contract: from 1, by 1, each lane its own.
 */
export interface Spool {
  /** Sequence that the next record of a lane gets; it is part of the record's encoding. */
  nextSequence(lane: LaneName): number;
  /** Takes an encoded record with the lane's next sequence. */
  push(lane: LaneName, frame: Buffer): void;
  /** The record with this sequence. A promise if it must be fetched from disk; undefined if it is not there (yet). */
  read(lane: LaneName, sequence: number): Buffer | Promise<Buffer> | undefined;
  /** Forgets all records up to this sequence. Never goes back; a sequence not pushed yet is taken as the last one. */
  ack(lane: LaneName, sequence: number): void;
  /** Sequence up to which a lane has been acked. */
  committed(lane: LaneName): number;
  /** Sequence of the oldest record held. 0: none. */
  lowestHeld(lane: LaneName): number;
  /** Whether its bound is reached. */
  readonly full: boolean;
  readonly memoryBytes: number;
  readonly diskBytes: number;
  /** Told when a record is there to be sent. */
  onPush: () => void;
  /** Told when `full` has become false, and with every ack. */
  onRoom: () => void;
  close(): Promise<void>;
}
