import type { Event } from "../../../gen/belay/v1/tracker_service_pb.ts";
import { packEvent, unpackEvent } from "./body.ts";
import { mergeEvents, nanoOf } from "./merge.ts";
import type { Tally } from "./tiers.ts";
import { BATCH, FAN, isFull, surplus } from "./tiers.ts";

/** A point as it is stored. */
export interface PointRow {
  readonly sequence: number;
  readonly timeNano: bigint;
  /** As `packEvent` writes it. */
  readonly body: Uint8Array;
}

/** The stored points of one series. */
export interface SeriesRows {
  insert(tier: number, row: PointRow): void;
  /** Bodies of a tier's oldest points, oldest first. */
  oldest(tier: number, most: number): readonly Uint8Array[];
  /** Body of a tier's newest point; undefined: the tier is empty. */
  newest(tier: number): Uint8Array | undefined;
  /** Removes a tier's points up to a sequence, inclusive. */
  removeUpTo(tier: number, sequence: number): void;
}

/** One series of an attempt's metrics, kept in tiers by the law in `tiers.ts`. */
export class Series {
  private readonly rows: SeriesRows;
  /** By tier. */
  private readonly tiers: Tally[];

  /** @param tiers what the rows hold by now */
  constructor(rows: SeriesRows, tiers: Tally[]) {
    this.rows = rows;
    this.tiers = tiers;
  }

  /** Stores an event, and makes room in one tier if one is full. */
  put(event: Event): void {
    this.insert(0, event);
    const full = this.tiers.findIndex(isFull);
    const tally = this.tiers[full];
    if (tally !== undefined) this.makeRoom(full, tally);
  }

  private insert(tier: number, event: Event): void {
    const body = packEvent(event);
    this.rows.insert(tier, { sequence: Number(event.sequence), timeNano: nanoOf(event), body });
    const tally = (this.tiers[tier] ??= { points: 0, bytes: 0 });
    tally.points++;
    tally.bytes += body.length;
  }

  /** Merges the oldest points of a full tier into the next tier. */
  private makeRoom(tier: number, tally: Tally): void {
    const bodies = this.rows.oldest(tier, BATCH);
    const sizes = bodies.map(({ length }) => length);
    const given = bodies.slice(0, surplus(tally, sizes));
    if (given.length === 0) return;
    const events = given.map(unpackEvent);
    const newest = this.rows.newest(tier + 1);
    let before = newest === undefined ? undefined : unpackEvent(newest);
    this.rows.removeUpTo(tier, Number(events.at(-1)?.sequence));
    tally.points -= given.length;
    for (const { length } of given) tally.bytes -= length;
    for (let at = 0; at < events.length; at += FAN) {
      const merged = mergeEvents(events.slice(at, at + FAN), before);
      this.insert(tier + 1, merged);
      before = merged;
    }
  }
}
